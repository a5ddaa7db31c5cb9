import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { existsSync, openSync, closeSync, readFileSync } from 'node:fs'

const commandTimeoutMs = 30_000

/** Processes that are up; none of them may outlive the tests, however those end. */
const running = new Set<ChildProcess>()
let watchesExit = false

/** One server or agent of SPIRE; its output goes to a log file. */
export class SpireProcess {
  readonly #child: ChildProcess
  readonly #exited: Promise<void>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#exited = new Promise((resolve) => {
      child.once('error', () => resolve())
      child.once('exit', () => resolve())
    })
  }

  static start(
    binary: string,
    options: readonly string[],
    environment: Readonly<Record<string, string>>,
    logFile: string,
  ): SpireProcess {
    killOnExit()
    const log = openSync(logFile, 'a')
    // Not detached: whoever kills the group of the test process kills SPIRE with it.
    const child = spawn(binary, options, {
      env: { ...process.env, ...environment },
      stdio: ['ignore', log, log],
      detached: false,
    })
    closeSync(log)
    running.add(child)
    child.once('exit', () => running.delete(child))
    return new SpireProcess(child)
  }

  get isRunning(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && !this.#child.killed
  }

  /** Resolves when it has ended by itself. */
  get exited(): Promise<void> {
    return this.#exited
  }

  /** Ends it and waits until it is gone; idempotent. */
  async kill(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child.kill(signal)
    await this.#exited
  }
}

/** Runs a command of SPIRE to its end and resolves to what it printed. Rejects with its messages when it fails. */
export function spireCommand(binary: string, options: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(binary, options, { timeout: commandTimeoutMs }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${options.join(' ')}: ${stdout}${stderr}`.trim(), { cause: error }))
    })
  })
}

/** Asks again and again until there is an answer, for at most `timeoutMs`; `what` names it in the error. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  timeoutMs = 45_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (let answer = await ask(); ; answer = await ask()) {
    if (answer !== undefined) return answer
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** True when the command succeeds, else undefined; for `until`. */
export function succeeds(binary: string, options: readonly string[]): Promise<true | undefined> {
  return spireCommand(binary, options).then(
    () => true,
    () => undefined,
  )
}

/** The last lines of a log, each cut to a readable width. */
export function logTail(file: string): string {
  const text = existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : ''
  const lines = text.split('\n').slice(-15)
  return [`--- ${file}`, ...lines.map((line) => line.slice(0, 300))].join('\n')
}

function killOnExit(): void {
  if (watchesExit) return
  watchesExit = true
  // A signal's default action ends the process without `exit`.
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL')
  })
}
