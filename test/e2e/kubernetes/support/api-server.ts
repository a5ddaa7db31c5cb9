import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../../support/free-port.ts'
import { temporaryDirectory } from '../../../support/postern-process.ts'
import { TestCa } from '../../../support/test-ca.ts'

export interface ApiReply {
  readonly status: number
  /** The `Warning` headers. */
  readonly warnings: string
  readonly body: ApiObject
}

/** Whatever an API server says; tests look at what they know to be there. */
export type ApiObject = Readonly<Record<string, unknown>> & {
  readonly message?: string
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly spec?: Readonly<Record<string, unknown>>
}

const patienceMs = 60_000

/** A kube-apiserver with an etcd of its own, on loopback and in a temporary directory. No scheduler, kubelet or controllers. */
export class ApiServer {
  readonly #directory: string
  readonly #children: ChildProcess[] = []
  readonly #token = randomBytes(16).toString('hex')
  #ca = ''
  #port = 0
  #output = ''

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** Resolves when it is ready; needs `etcd` and `kube-apiserver` on PATH. */
  static async start(): Promise<ApiServer> {
    const server = new ApiServer(await temporaryDirectory())
    try {
      await server.#start()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  /** One call; `path` with its query. A text is sent as the YAML of a server-side apply. */
  call(method: string, path: string, body?: object | string): Promise<ApiReply> {
    const type = typeof body === 'string' ? 'application/apply-patch+yaml' : 'application/json'
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        host: '127.0.0.1',
        port: this.#port,
        servername: 'localhost',
        ca: this.#ca,
        method,
        path,
        agent: false,
        headers: {
          authorization: `Bearer ${this.#token}`,
          ...(body === undefined ? {} : { 'content-type': type }),
        },
      })
      request.once('error', reject)
      request.once('response', (response) => {
        let reply = ''
        response.on('data', (chunk: Buffer) => (reply += chunk.toString()))
        response.once('error', reject)
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            warnings: response.headers.warning ?? '',
            body: parse(reply),
          }),
        )
      })
      request.end(body === undefined ? undefined : text)
    })
  }

  /** As `call`, for what must succeed. */
  async must(method: string, path: string, body?: object | string): Promise<ApiObject> {
    const reply = await this.call(method, path, body)
    if (reply.status < 300) return reply.body
    throw new Error(`${method} ${path}: ${reply.status}: ${JSON.stringify(reply.body)}`)
  }

  async createNamespace(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const metadata = { name, labels }
    await this.must('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata })
  }

  /** Ends both processes and removes their files. */
  async close(): Promise<void> {
    for (const child of this.#children.splice(0).reverse()) {
      const ended = new Promise((resolve) => child.once('close', resolve))
      if (child.kill('SIGKILL')) await ended
    }
    await rm(this.#directory, { recursive: true, force: true })
  }

  async #start(): Promise<void> {
    const [client, peer, port] = [await freePort(), await freePort(), await freePort()]
    this.#port = port
    const etcd = `http://127.0.0.1:${client}`
    this.#spawn('etcd', [
      ...['--data-dir', this.#path('etcd'), '--log-level', 'error'],
      ...['--listen-client-urls', etcd, '--advertise-client-urls', etcd],
      ...['--listen-peer-urls', `http://127.0.0.1:${peer}`],
      ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peer}`],
      ...['--initial-cluster', `default=http://127.0.0.1:${peer}`],
    ])
    await this.#writeFiles()
    this.#spawn('kube-apiserver', [
      ...['--etcd-servers', etcd, '--bind-address', '127.0.0.1', '--secure-port', String(port)],
      ...[
        '--tls-cert-file',
        this.#path('tls.crt'),
        '--tls-private-key-file',
        this.#path('tls.key'),
      ],
      ...['--token-auth-file', this.#path('tokens.csv'), '--authorization-mode', 'RBAC'],
      ...['--service-account-issuer', 'https://kubernetes.test'],
      ...['--service-account-key-file', this.#path('sa.pub')],
      ...['--service-account-signing-key-file', this.#path('sa.key')],
      ...['--service-cluster-ip-range', '10.96.0.0/24'],
      // Nothing here makes the tokens that it would mount.
      ...['--disable-admission-plugins', 'ServiceAccount'],
    ])
    await this.until('ready', async () => (await this.call('GET', '/readyz')).status === 200)
  }

  async #writeFiles(): Promise<void> {
    const ca = await TestCa.root('kubernetes')
    const leaf = await ca.leaf({ dnsNames: ['localhost'] })
    const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
    this.#ca = ca.pem
    const files = {
      'tls.crt': leaf.pem,
      'tls.key': leaf.keyPem,
      'sa.pub': keys.publicKey.export({ type: 'spki', format: 'pem' }),
      'sa.key': keys.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'tokens.csv': `${this.#token},admin,admin,system:masters\n`,
    }
    for (const [name, text] of Object.entries(files)) {
      await writeFile(this.#path(name), text, { mode: 0o600 })
    }
  }

  /** Resolves when the condition holds, and does not throw. */
  async until(what: string, condition: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + patienceMs
    let last: unknown
    for (;;) {
      try {
        if (await condition()) return
      } catch (error) {
        last = error
      }
      if (this.#children.some(({ exitCode }) => exitCode !== null) || performance.now() > endMs) {
        throw new Error(`never: ${what}: ${String(last)}\n${this.#output.slice(-4_000)}`)
      }
      await sleep(50)
    }
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  #spawn(command: string, args: readonly string[]): void {
    const child = spawn(command, args, { cwd: this.#directory, stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (chunk: Buffer) => (this.#output = (this.#output + String(chunk)).slice(-20_000))
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', (error) => (this.#output += `${command}: ${error.message}\n`))
    process.once('exit', () => child.kill('SIGKILL'))
    this.#children.push(child)
  }
}

function parse(text: string): ApiObject {
  try {
    return JSON.parse(text) as ApiObject
  } catch {
    return { message: text }
  }
}
