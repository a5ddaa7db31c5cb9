import assert from 'node:assert/strict'
import { type ClientReadableStream, credentials, Metadata } from '@grpc/grpc-js'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EchoWorkload, echoClient } from '../proxy/support/http2-grpc-echo.ts'
import { type AuditLine, temporaryDirectory } from '../support/postern-process.ts'
import { requireTool } from '../support/tools.ts'
import type { CallerIdentity } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { runProgram, writeIdentity } from './support/programs.ts'

const echoId = 'spiffe://corp.example/echo'
const javaCaller = fileURLToPath(new URL('support/JavaCaller.java', import.meta.url))

/** The record of the browser's request, which says by what protocol it came. */
function isBrowsers(line: AuditLine): boolean {
  const { path } = line['request'] as { readonly path: string }
  return path === '/browser' && line.protocol === 'h2'
}

/** A browser and a virtual machine start slowly on a busy machine. */
const slowStart = { timeoutMs: 60_000 }

describe('clients of HTTP that others wrote', () => {
  let mesh: Mesh
  let directory: string
  let grpc: EchoWorkload

  before(async () => {
    grpc = await EchoWorkload.start()
    mesh = await Mesh.start({
      keys: { reports: { product: 'reports' } },
      products: {
        checkout: { callers: [{ spiffeId: 'spiffe://corp.example/checkout/**' }] },
        reports: { apiKeys: 'accept' },
        echo: { callers: [{ spiffeId: echoId }], upstream: `127.0.0.1:${grpc.port}` },
      },
    })
    directory = await temporaryDirectory()
  })

  after(async () => {
    await mesh.close()
    grpc.close()
    await rm(directory, { recursive: true, force: true })
  })

  beforeEach(() => void (mesh.workload.seen.length = 0))

  /** A PKCS#12 file with an SVID, as Java wants it. */
  async function keyStore(): Promise<string> {
    const svid = await writeIdentity(directory, 'java', await mesh.mint(checkoutId))
    const path = join(directory, 'java.p12')
    const files = ['-in', svid.certificate, '-inkey', svid.key, '-out', path]
    const made = await runProgram('openssl', [
      'pkcs12',
      '-export',
      ...files,
      '-passout',
      'pass:test',
    ])
    assert.equal(made.code, 0, made.stderr)
    return path
  }

  describe("Java's HttpClient", () => {
    let java: string

    before(function () {
      java = requireTool(this, 'java')
    })

    async function call(key: string, store: string): Promise<string[]> {
      const port = String(mesh.postern.port)
      const { code, stdout, stderr } = await runProgram(
        java,
        [javaCaller, port, key, store],
        slowStart,
      )
      assert.equal(code, 0, stderr)
      return stdout.trim().split('\n')
    }

    it('is served by an API key, over HTTP/1.1 and HTTP/2', async () => {
      const [first = '', second = ''] = await call(mesh.key('reports'), '-')
      assert.match(first, /^HTTP_1_1 200 .*"x-postern-product":"reports".*"bodyBytes":100000/)
      assert.match(second, /^HTTP_2 200 .*"x-postern-product":"reports".*"bodyBytes":100000/)
    }).timeout(90_000)

    it('is served by an SVID, over HTTP/1.1 and HTTP/2', async () => {
      const [first = '', second = ''] = await call('-', await keyStore())
      assert.match(first, /^HTTP_1_1 200 .*"x-postern-product":"checkout"/)
      assert.match(second, /^HTTP_2 200 .*"x-postern-product":"checkout"/)
    }).timeout(90_000)
  })

  it('nghttp, the reference of HTTP/2, is served many requests at once', async function () {
    const command = requireTool(this, 'nghttp')
    const { code, stdout } = await runProgram(command, [
      ...['-m', '20', '-H', `x-api-key: ${mesh.key('reports')}`],
      `https://127.0.0.1:${mesh.postern.port}/many`,
    ])
    assert.equal(code, 0)
    assert.equal(stdout.split('"x-postern-product":"reports"').length, 21)
    assert.equal(mesh.workload.seen.length, 20)
  })

  it('grpc-js is served by an SVID, in all four kinds of calls', async () => {
    const client = echoClient(mesh.postern.port, grpcCredentials(await mesh.mint(echoId)))
    try {
      const unary = new Promise((resolve, reject) => {
        client.unary(Buffer.from('one'), new Metadata(), {}, (error, reply) =>
          error === null ? resolve(reply?.toString()) : reject(error),
        )
      })
      assert.equal(await unary, 'one')
      const sum = new Promise((resolve, reject) => {
        const call = client.sum((error, reply) =>
          error === null ? resolve(reply?.toString()) : reject(error),
        )
        for (const message of ['a', 'bc', 'def']) call.write(Buffer.from(message))
        call.end()
      })
      assert.equal(await sum, '6')
      assert.equal(await textOf(client.list(Buffer.from('xyz'))), 'x,y,z')
      const chat = client.chat()
      for (const message of ['p', 'q']) chat.write(Buffer.from(message))
      chat.end()
      assert.equal(await textOf(chat), 'p,q')
    } finally {
      client.close()
    }
  })

  it('Chromium is served, over HTTP/2', async function () {
    const command = requireTool(this, 'chromium')
    const key = JSON.stringify({ headers: { 'x-api-key': mesh.key('reports') } })
    const url = `https://127.0.0.1:${mesh.postern.port}/browser`
    const page = `<body><script>
      const show = (text) => (document.body.textContent = 'got ' + text)
      fetch('${url}', ${key}).then((reply) => reply.text()).then(show, show)
    </script>`
    const { stdout, stderr } = await runProgram(
      command,
      [
        ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
        ...['--ignore-certificate-errors', '--disable-web-security'],
        ...[`--user-data-dir=${join(directory, 'chromium')}`, '--virtual-time-budget=10000'],
        ...['--dump-dom', `data:text/html,${encodeURIComponent(page)}`],
      ],
      slowStart,
    )
    assert.match(stdout, /got .*"x-postern-product":"reports"/, stdout + stderr)
    assert.equal(mesh.workload.seen[0]?.url, '/browser')
    assert.match(String(mesh.workload.seen[0].headers['user-agent']), /HeadlessChrome/)
    await mesh.postern.until('a record', () => mesh.postern.audit.some(isBrowsers))
  }).timeout(90_000)
})

/** The sidecar is looked at elsewhere; an SVID has no host name. */
function grpcCredentials({ certificatePem, privateKeyPem }: CallerIdentity) {
  const [key, certificate] = [Buffer.from(privateKeyPem), Buffer.from(certificatePem)]
  return credentials.createSsl(null, key, certificate, {
    checkServerIdentity: () => undefined,
    rejectUnauthorized: false,
  })
}

async function textOf(messages: ClientReadableStream<Buffer>): Promise<string> {
  const texts: string[] = []
  for await (const message of messages) texts.push(String(message))
  return texts.join()
}
