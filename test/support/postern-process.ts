import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../dist/bin/postern.js', import.meta.url))

/** A line that the sidecar logged. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface PosternProcessOptions {
  /** Files by name; `postern.yaml` is the configuration. */
  readonly files: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
  /** What to wait for: the port bound (default for neither), or `/readyz` answering 200. */
  readonly until?: 'listening' | 'ready'
}

/** The built program as a process of its own, with its files in a directory of its own. */
export class PosternProcess {
  readonly directory: string
  readonly logs: LogLine[] = []
  /** Lines of the audit log, as they were written to stdout. */
  readonly audit: Record<string, unknown>[] = []
  /** Everything that it wrote, for looking for secrets. */
  output = ''
  readonly #child: ChildProcess
  readonly #waiters = new Set<() => void>()
  readonly #exit: Promise<number>
  #ports = { inbound: 0, health: 0 }
  #exited = false

  private constructor(directory: string, child: ChildProcess) {
    this.directory = directory
    this.#child = child
    this.#exit = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#exited = true
        this.#wake()
        resolve(code ?? (signal === null ? -1 : 128))
      })
    })
    if (child.stderr !== null) this.#follow(child.stderr, (line) => this.#logged(line))
    if (child.stdout !== null) {
      this.#follow(child.stdout, (line) => {
        this.audit.push(JSON.parse(line) as Record<string, unknown>)
      })
    }
  }

  static async start(options: PosternProcessOptions): Promise<PosternProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'postern-test-'))
    for (const [name, text] of Object.entries(options.files)) {
      await writeFile(join(directory, name), text)
    }
    const child = spawn(process.execPath, [program, 'run', '--config', 'postern.yaml'], {
      cwd: directory,
      env: { PATH: process.env['PATH'], ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const postern = new PosternProcess(directory, child)
    await postern.#started(options.until ?? 'ready')
    return postern
  }

  get port(): number {
    return this.#ports.inbound
  }

  get healthPort(): number {
    return this.#ports.health
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  async write(name: string, text: string): Promise<void> {
    await writeFile(this.path(name), text)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** The exit code, once it has ended. */
  get exited(): Promise<number> {
    return this.#exit
  }

  async ready(): Promise<{ status: number; body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/readyz`)
    return { status: response.status, body: await response.text() }
  }

  async metrics(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}/metrics`)
    return response.text()
  }

  /** The value of a metric's sample whose line starts with `name`; 0 when there is none. */
  async metric(name: string): Promise<number> {
    const line = (await this.metrics()).split('\n').find((text) => text.startsWith(`${name} `))
    return line === undefined ? 0 : Number(line.slice(name.length + 1).split(' ')[0])
  }

  /** Resolves when the condition holds; it is asked at each line of output and every 50 ms. Rejects after `timeoutMs`. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    timeoutMs = 10_000,
  ): Promise<void> {
    const endMs = Date.now() + timeoutMs
    while (!(await condition())) {
      if (Date.now() > endMs) throw new Error(`timed out: ${what}\n${this.output.slice(-4_000)}`)
      await this.#nextLine(50)
    }
  }

  /** Ends it with SIGTERM, or SIGKILL when it does not, and removes its files. Resolves with the exit code. */
  async stop(): Promise<number> {
    this.#child.kill('SIGTERM')
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    const code = await this.#exit
    clearTimeout(killer)
    await rm(this.directory, { recursive: true, force: true })
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #started(until: 'listening' | 'ready'): Promise<void> {
    await this.until('listening', () => {
      if (this.#exited) throw new Error(`postern ended at start:\n${this.output}`)
      return this.#ports.inbound !== 0
    })
    if (until === 'ready') {
      await this.until('ready', async () => (await this.ready()).status === 200)
    }
  }

  #follow(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
    createInterface({ input: stream }).on('line', (line) => {
      this.output += `${line}\n`
      onLine(line)
      this.#wake()
    })
  }

  #logged(text: string): void {
    if (!text.startsWith('{')) return
    const line = JSON.parse(text) as LogLine
    this.logs.push(line)
    if (line.msg === 'listening') {
      this.#ports = { inbound: Number(line['inboundPort']), health: Number(line['healthPort']) }
    }
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }

  #nextLine(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#waiters.delete(done)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      this.#waiters.add(done)
    })
  }
}
