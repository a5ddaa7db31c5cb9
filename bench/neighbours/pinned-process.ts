import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** The core of what is measured, and that of everything else. */
export const cores = { measured: 0, others: 1 }

const microsecondsPerTick = 10_000
const startTimeoutMs = 20_000

export interface PinnedOptions {
  readonly core: number
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Takes stdout and stderr; absent: stdout is read, stderr is ours. */
  readonly logFile?: string
}

/** Must not outlive an interrupted benchmark. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A process on one core, whose CPU time and memory can be asked for. Linux only. */
export class PinnedProcess {
  readonly #child: ChildProcess
  readonly #options: PinnedOptions

  private constructor(child: ChildProcess, options: PinnedOptions) {
    this.#child = child
    this.#options = options
  }

  static start(options: PinnedOptions): PinnedProcess {
    const { core, command, args, env = {}, logFile } = options
    const log = logFile === undefined ? undefined : openSync(logFile, 'a')
    const child = spawn('taskset', ['-c', String(core), command, ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', log ?? 'pipe', log ?? 'inherit'],
    })
    if (log !== undefined) closeSync(log)
    running.add(child)
    child.once('close', () => running.delete(child))
    return new PinnedProcess(child, options)
  }

  /** Everything that it prints until its end; throws when that is no good one. */
  async output(): Promise<string> {
    let text = ''
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
    const [code] = (await once(this.#child, 'close')) as [number | null]
    if (code !== 0) throw new Error(`${this.#command} ended with ${code ?? 'a signal'}\n${text}`)
    return text
  }

  firstLine(): Promise<string> {
    return this.#nextLine()
  }

  /** The line that it prints when it gets the signal. */
  async ask(signal: NodeJS.Signals): Promise<string> {
    const line = this.#nextLine()
    this.#child.kill(signal)
    return line
  }

  /** Resolves when somebody answers on the port. */
  async listening(port: number): Promise<void> {
    const endMs = performance.now() + startTimeoutMs
    while (!(await answers(port))) {
      if (this.#child.exitCode !== null || performance.now() > endMs) {
        throw new Error(`${this.#command} does not listen on port ${port}\n${this.#log()}`)
      }
      await sleep(50)
    }
  }

  /** User and system time of all its threads since its start. */
  cpuMicroseconds(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * microsecondsPerTick
  }

  residentMiB(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) / 1024
  }

  async stop(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Lets it end by itself. */
  async terminate(): Promise<void> {
    await this.#end('SIGTERM')
  }

  async #nextLine(): Promise<string> {
    const { stdout } = this.#child
    if (stdout === null) throw new TypeError('its output goes to a file')
    const [line] = (await once(stdout, 'data')) as [Buffer]
    return line.toString().trim()
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill(signal)
    await once(this.#child, 'close')
  }

  /** `taskset` becomes the program that it starts. */
  get #pid(): number {
    return this.#child.pid ?? -1
  }

  get #command(): string {
    return [this.#options.command, ...this.#options.args].join(' ')
  }

  #log(): string {
    const { logFile } = this.#options
    return logFile === undefined ? '' : readFileSync(logFile, 'utf8').slice(-2_000)
  }
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (isOpen: boolean) => {
      socket.destroy()
      resolve(isOpen)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })
}
