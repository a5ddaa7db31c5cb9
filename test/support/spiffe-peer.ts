import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Wake } from './wake.ts'

const patienceMs = 30_000

/** Children that must not outlive an interrupted run of the tests. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The program of test/support/spiffe-peer as a process: the other end on go-spiffe. */
export class SpiffePeer {
  /** What it printed, a line of JSON each. */
  readonly lines: unknown[] = []
  /** What it said beside that: its refusals. */
  errors = ''
  readonly #child: ChildProcess
  readonly #news = new Wake()

  private constructor(child: ChildProcess) {
    this.#child = child
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.lines.push(JSON.parse(line))
      this.#news.all()
    })
    child.stderr!.on('data', (chunk: Buffer) => {
      this.errors += chunk.toString()
      this.#news.all()
    })
    child.once('close', () => this.#news.all())
  }

  /** `command` is the built program; its identity is that of the socket. The caller stops it. */
  static start(command: string, socketPath: string, ...args: readonly string[]): SpiffePeer {
    const child = spawn(command, args, {
      env: { SPIFFE_ENDPOINT_SOCKET: `unix://${socketPath}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(child)
    child.once('close', () => running.delete(child))
    return new SpiffePeer(child)
  }

  /** A server for callers with this SPIFFE ID; resolves when it listens. */
  static async serve(
    command: string,
    socketPath: string,
    expect: string,
    what: 'serve' | 'serve-grpc' | 'serve-tcp' = 'serve',
  ): Promise<{ readonly peer: SpiffePeer; readonly port: number }> {
    const peer = SpiffePeer.start(command, socketPath, what, '--expect', expect)
    const { port } = await peer.line<{ port: number }>('its port', () => true)
    return { peer, port }
  }

  /** Runs it to its end; `answer` is what it printed last. */
  static async run(
    command: string,
    socketPath: string,
    ...args: readonly string[]
  ): Promise<{ readonly code: number; readonly answer: unknown; readonly errors: string }> {
    const peer = SpiffePeer.start(command, socketPath, ...args)
    const killer = setTimeout(() => peer.#child.kill('SIGKILL'), 3 * patienceMs)
    const [code] = (await once(peer.#child, 'close')) as [number | null]
    clearTimeout(killer)
    return { code: code ?? 137, answer: peer.lines.at(-1), errors: peer.errors }
  }

  /** The first line after the first `after` lines that is as it should be, as soon as there is one. */
  async line<Line>(what: string, is: (line: Line) => boolean, after = 0): Promise<Line> {
    const find = () => (this.lines as Line[]).slice(after).find(is)
    await this.until(what, () => find() !== undefined)
    return find()!
  }

  /** Resolves when the condition holds; it is asked whenever the process prints something. Rejects after 30 s. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const endMs = performance.now() + patienceMs
    while (!condition()) {
      if (performance.now() > endMs || this.#child.exitCode !== null) {
        throw new Error(`never: ${what}; it said ${JSON.stringify(this.lines)} ${this.errors}`)
      }
      await this.#news.next(endMs - performance.now())
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}
