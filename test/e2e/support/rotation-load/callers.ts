/** The callers of rotation-load.ts, in a process of their own. */
import {
  Caller,
  type CallerConnection,
  type CallerOptions,
  type HttpVersion,
  httpVersions,
} from '../caller.ts'

/** Sent to it once; after that it is asked for reports. */
export interface LoadTask {
  /** By a name for what failed. */
  readonly callers: Readonly<Record<string, CallerOptions>>
}

/** What came of the load so far. */
export interface LoadReport {
  readonly handshakes: number
  readonly requests: number
  /** A sentence for each handshake or request that failed. */
  readonly failures: readonly string[]
  /** How many different SVIDs of the sidecar new handshakes have seen. */
  readonly svidsSeen: number
}

/** `stop`: the report comes when all that runs has come to its end. */
export type LoadQuestion = 'report' | 'stop'

/** Whoever can connect to nobody must not turn in a circle. */
const mostFailures = 100

class Load {
  readonly #loops: Promise<void>[] = []
  readonly #failures: string[] = []
  readonly #serials = new Set<string>()
  #handshakes = 0
  #requests = 0
  #isStopped = false

  start({ callers }: LoadTask): void {
    for (const [name, options] of Object.entries(callers)) {
      const caller = new Caller(options)
      for (const version of httpVersions) {
        this.#loops.push(this.#connectAnew(`${name}, ${version}`, caller, version))
        this.#loops.push(this.#keepBusy(`${name}, ${version}, live`, caller, version))
      }
    }
  }

  get report(): LoadReport {
    return {
      handshakes: this.#handshakes,
      requests: this.#requests,
      failures: this.#failures,
      svidsSeen: this.#serials.size,
    }
  }

  async stop(): Promise<LoadReport> {
    this.#isStopped = true
    await Promise.all(this.#loops)
    return this.report
  }

  get #isOver(): boolean {
    return this.#isStopped || this.#failures.length >= mostFailures
  }

  async #connectAnew(name: string, caller: Caller, version: HttpVersion): Promise<void> {
    while (!this.#isOver) {
      const connection = await this.#open(name, caller, version)
      if (connection === undefined) continue
      await this.#call(name, connection)
      connection.close()
    }
  }

  async #keepBusy(name: string, caller: Caller, version: HttpVersion): Promise<void> {
    const connection = await this.#open(name, caller, version)
    while (connection !== undefined && !this.#isOver) {
      if (!(await this.#call(name, connection))) return
    }
    connection?.close()
  }

  async #open(
    name: string,
    caller: Caller,
    version: HttpVersion,
  ): Promise<CallerConnection | undefined> {
    try {
      const connection = await caller.open(version)
      this.#handshakes += 1
      this.#serials.add(connection.socket.getPeerCertificate().serialNumber)
      return connection
    } catch (error) {
      this.#failures.push(`${name}: no handshake: ${String(error)}`)
      return undefined
    }
  }

  async #call(name: string, connection: CallerConnection): Promise<boolean> {
    try {
      const { status, text } = await connection.call()
      this.#requests += 1
      if (status === 200) return true
      this.#failures.push(`${name}: ${status} ${text}`)
    } catch (error) {
      this.#failures.push(`${name}: no reply: ${String(error)}`)
    }
    return false
  }
}

const load = new Load()

process.once('message', (task: LoadTask) => {
  load.start(task)
  process.on('message', (question: LoadQuestion) => {
    if (question === 'report') process.send?.(load.report)
    else void load.stop().then((report) => process.send?.(report))
  })
})
// Nobody waits for what a parent that is gone has asked for.
process.once('disconnect', () => process.exit())
