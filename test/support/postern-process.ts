import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { Wake } from './wake.ts'

const builtProgram = fileURLToPath(new URL('../../dist/bin/postern.js', import.meta.url))

/** A line that the sidecar logged. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** A line of the audit log, as far as tests look at it. */
export interface AuditLine {
  readonly id: string
  readonly trace: string
  readonly protocol: string
  readonly peer: { readonly kind: string; readonly [field: string]: unknown }
  readonly decision: {
    readonly outcome: string
    readonly reason: string
    readonly [field: string]: unknown
  }
  readonly status?: number
  readonly error?: string
  readonly [field: string]: unknown
}

/** Files by name; what is no text is written as YAML. Folders in a name are made. */
export type Files = Readonly<Record<string, unknown>>

export interface PosternProcessOptions {
  /** Written before the start; `postern.yaml` is the configuration. */
  readonly files: Files
  /** Default: `run --config postern.yaml`. */
  readonly args?: readonly string[]
  /** Where the files go and where it runs; removed at the end. Default: a new temporary directory. */
  readonly directory?: string
  /** Nothing but PATH is inherited. */
  readonly env?: Readonly<Record<string, string>>
  /** A command that starts it, such as `ip netns exec NAME`: it must become the program itself. */
  readonly starter?: readonly string[]
  /** The path of another build of it than that of the checkout. */
  readonly program?: string
  /** What to wait for: the port bound, or `/readyz` answering 200. Default `ready`. */
  readonly until?: 'listening' | 'ready'
}

/** How a process ended that was not meant to run on. */
export interface EndedProcess {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly durationMs: number
}

const defaultPatienceMs = 30_000

/** The built program as a process of its own, with its files in a directory of its own. */
export class PosternProcess {
  readonly directory: string
  readonly logs: LogLine[] = []
  /** The audit log, as it was written to stdout. */
  readonly audit: AuditLine[] = []
  /** Everything that it wrote to stdout and stderr, for looking for secrets. */
  output = ''
  readonly #child: ChildProcess
  readonly #news = new Wake()
  readonly #exit: Promise<number>
  #ports = { inbound: 0, outbound: [] as readonly number[], health: 0, admin: 0 }
  #exitCode: number | undefined

  private constructor(directory: string, child: ChildProcess) {
    this.directory = directory
    this.#child = child
    this.#exit = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        running.delete(child)
        this.#exitCode = exitCodeOf(code, signal)
        this.#news.all()
        resolve(this.#exitCode)
      })
    })
    if (child.stderr !== null) this.#follow(child.stderr, (line) => this.#logged(line))
    if (child.stdout !== null) this.#follow(child.stdout, (line) => this.#printed(line))
  }

  static async start(options: PosternProcessOptions): Promise<PosternProcess> {
    const directory = options.directory ?? (await temporaryDirectory())
    await writeFiles(directory, options.files)
    const { args = ['run', '--config', 'postern.yaml'] } = options
    const child = spawnPostern(directory, args, options)
    const postern = new PosternProcess(directory, child)
    try {
      await postern.#started(options.until ?? 'ready')
    } catch (error) {
      await postern.stop()
      throw error
    }
    return postern
  }

  /** Runs the program to its end, which must come within `timeoutMs`; else it is killed and its code is 137. */
  static async runToEnd(
    args: readonly string[],
    options: Omit<PosternProcessOptions, 'until' | 'args'> & { readonly timeoutMs?: number },
  ): Promise<EndedProcess> {
    const directory = options.directory ?? (await temporaryDirectory())
    await writeFiles(directory, options.files)
    const startMs = performance.now()
    const child = spawnPostern(directory, args, options)
    const killer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? defaultPatienceMs)
    const output = Promise.all([textOf(child.stdout), textOf(child.stderr)])
    const code = await new Promise<number>((resolve) => {
      child.once('close', (status, signal) => resolve(exitCodeOf(status, signal)))
    })
    clearTimeout(killer)
    running.delete(child)
    const [stdout, stderr] = await output
    await rm(directory, { recursive: true, force: true })
    return { code, stdout, stderr, durationMs: performance.now() - startMs }
  }

  get port(): number {
    return this.#ports.inbound
  }

  /** In the order of the configuration. */
  get outboundPorts(): readonly number[] {
    return this.#ports.outbound
  }

  get healthPort(): number {
    return this.#ports.health
  }

  get adminPort(): number {
    return this.#ports.admin
  }

  /** What the admin port answers, parsed. */
  async admin<Answer>(path: string): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`)
    return (await response.json()) as Answer
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Puts each file in the place of the one before at once: the sidecar sees the old one or the new one. */
  async write(files: Files): Promise<void> {
    await writeFiles(this.directory, inBetween(files))
    for (const name of Object.keys(files)) await rename(this.path(`${name}~`), this.path(name))
  }

  /** As an editor that does not rename: for a moment the sidecar may see an empty file, and report it. */
  async writeInPlace(files: Files): Promise<void> {
    await writeFiles(this.directory, files)
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** The exit code, once it has ended. */
  get exited(): Promise<number> {
    return this.#exit
  }

  async ready(): Promise<{ readonly status: number; readonly missing: readonly string[] }> {
    const response = await this.#health('/readyz')
    const { missing } = JSON.parse(response.body) as { missing: readonly string[] }
    return { status: response.status, missing }
  }

  async live(): Promise<number> {
    return (await this.#health('/livez')).status
  }

  async metrics(): Promise<string> {
    return (await this.#health('/metrics')).body
  }

  /** The sum of the samples of a metric that have these labels, whatever others they have. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    return (await this.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => wanted.every((label) => line.includes(label)))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }

  /** Resident memory, bytes. */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) * 1024
  }

  /** Resolves when the condition holds; it is asked at each line of output and every 25 ms. Rejects after `timeoutMs`. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    timeoutMs = defaultPatienceMs,
  ): Promise<void> {
    const endMs = performance.now() + timeoutMs
    while (!(await condition())) {
      if (performance.now() > endMs) {
        throw new Error(`never: ${what}; it wrote:\n${this.output.slice(-4_000)}`)
      }
      await this.#news.next(25)
    }
  }

  /** The first line that was logged with this message after the first `after` lines, as soon as there is one. */
  async logged(message: string, after = 0): Promise<LogLine> {
    const find = () => this.logs.slice(after).find((line) => line.msg === message)
    await this.until(`log line ${JSON.stringify(message)}`, () => find() !== undefined)
    return find()!
  }

  /** The audit line of a decision, as soon as it is written. */
  async audited(decisionId: unknown): Promise<AuditLine> {
    const find = () => this.audit.find((line) => line.id === decisionId)
    await this.until(`audit line of ${String(decisionId)}`, () => find() !== undefined)
    return find()!
  }

  /** Ends it with SIGTERM, or SIGKILL when it does not, and removes its files. Resolves with the exit code. */
  async stop(): Promise<number> {
    this.#child.kill('SIGTERM')
    const killer = setTimeout(() => this.#child.kill('SIGKILL'), defaultPatienceMs)
    const code = await this.#exit
    clearTimeout(killer)
    await rm(this.directory, { recursive: true, force: true })
    return code
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #started(until: 'listening' | 'ready'): Promise<void> {
    const isAlive = () => {
      if (this.#exitCode !== undefined) throw new Error(`postern ended at start:\n${this.output}`)
    }
    await this.until('listening', () => {
      isAlive()
      return this.#ports.inbound !== 0
    })
    if (until === 'listening') return
    await this.until('ready', async () => {
      isAlive()
      return (await this.ready()).status === 200
    })
  }

  async #health(path: string): Promise<{ status: number; body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.healthPort}${path}`, {
      headers: { connection: 'close' },
    })
    return { status: response.status, body: await response.text() }
  }

  #follow(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      this.output += `${line}\n`
      onLine(line)
      this.#news.all()
    })
  }

  /** The audit log; spans of the console exporter may stand between its lines. */
  #printed(text: string): void {
    if (text.startsWith('{"time"')) this.audit.push(JSON.parse(text) as AuditLine)
  }

  #logged(text: string): void {
    if (!text.startsWith('{')) return
    const line = JSON.parse(text) as LogLine
    this.logs.push(line)
    if (line.msg === 'listening') {
      this.#ports = {
        inbound: Number(line['inboundPort'] ?? line['webhookPort']),
        outbound: (line['outboundPorts'] ?? []) as number[],
        health: Number(line['healthPort']),
        admin: Number(line['adminPort']),
      }
    }
  }
}

/** Short enough for the path of a socket. */
export function temporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'postern-test-'))
}

/** Writes each file; private, because some hold keys. */
async function writeFiles(directory: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, typeof content === 'string' ? content : stringify(content))
    await chmod(path, 0o600)
  }
}

/** The same files under names that nobody reads. */
function inBetween(files: Files): Files {
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [`${name}~`, content]))
}

/** Children that must not outlive an interrupted run of the tests. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function spawnPostern(
  directory: string,
  args: readonly string[],
  options: Pick<PosternProcessOptions, 'env' | 'starter' | 'program'>,
): ChildProcess {
  const { env = {}, starter = [], program = builtProgram } = options
  const [command = '', ...rest] = [...starter, process.execPath, program, ...args]
  const child = spawn(command, rest, {
    cwd: directory,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  return child
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  if (code !== null) return code
  return signal === 'SIGKILL' ? 137 : 128
}

async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = ''
  for await (const chunk of stream ?? []) text += String(chunk)
  return text
}
