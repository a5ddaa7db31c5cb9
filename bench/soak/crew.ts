import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Caller,
  type CallerConnection,
  type CallRequest,
  httpVersions,
  type Reply,
} from '../../test/e2e/support/caller.ts'
import { failures } from './unreliable-workload.ts'

/** How the calls went. */
export interface Tally {
  calls: number
  connections: number
  /** Failed as it was to be expected: on purpose, or while the workload was away. */
  expectedFailures: number
  /** Failed without the workload's doing; the first few are described. */
  readonly unexpected: string[]
}

export interface CrewOptions {
  /** Of every kind: own SVID, federated SVID, certificate of a partner, API key. */
  readonly callers: readonly Caller[]
  /** Connections of each kind and HTTP version that stay open. */
  readonly steady: number
  /** Whether a failure of this moment is the workload's doing. */
  readonly isWorkloadToBlame: () => boolean
}

const mostDescribed = 20
const failingEvery = 50
const uploadEvery = 20
const callsOfVisitor = 3
const upload = Buffer.alloc(256 * 1024)

/** Callers of every kind, on connections that stay and on connections that come and go. */
export class Crew {
  readonly tally: Tally = { calls: 0, connections: 0, expectedFailures: 0, unexpected: [] }
  readonly #options: CrewOptions
  readonly #work: Promise<void>[] = []
  /** Between two calls of one worker; 0: as fast as they go. */
  #pauseMs = 0
  #isOver = false

  constructor(options: CrewOptions) {
    this.#options = options
  }

  start(): void {
    for (const caller of this.#options.callers) {
      for (const version of httpVersions) {
        for (let i = 0; i < this.#options.steady; i++) {
          this.#work.push(this.#worker(() => caller.open(version), Infinity))
        }
        this.#work.push(this.#worker(() => caller.open(version), callsOfVisitor))
      }
    }
  }

  /** All workers together make so many calls a second from now on. */
  pace(callsPerSecond: number): void {
    this.#pauseMs = (1_000 * this.#work.length) / callsPerSecond
  }

  async finish(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#work)
  }

  async #worker(open: () => Promise<CallerConnection>, calls: number): Promise<void> {
    while (!this.#isOver) {
      try {
        const connection = await open()
        this.tally.connections++
        await this.#converse(connection, calls)
        connection.close()
      } catch (error) {
        this.#failed(`a connection failed: ${String(error)}`)
        await sleep(100)
      }
    }
  }

  async #converse(connection: CallerConnection, calls: number): Promise<void> {
    for (let i = 0; i < calls && !this.#isOver; i++) {
      const startMs = performance.now()
      const request = nextRequest(this.tally.calls++)
      const reply = await replyOf(connection, request)
      this.#judge(request, reply.status, reply.text)
      if (reply.headers['connection'] === 'close') return
      await sleep(Math.max(0, this.#pauseMs - (performance.now() - startMs)))
    }
  }

  #judge(request: CallRequest, status: number, text: string): void {
    const path = request.path ?? '/'
    const expected = failures[path] ?? 200
    if (status !== expected) this.#failed(`${path} was answered ${status}: ${text}`)
    else if (expected !== 200) this.tally.expectedFailures++
  }

  #failed(what: string): void {
    if (this.#options.isWorkloadToBlame()) this.tally.expectedFailures++
    else if (this.tally.unexpected.length < mostDescribed) this.tally.unexpected.push(what)
  }
}

/** A connection that ends leaves no call without an answer. */
async function replyOf(connection: CallerConnection, request: CallRequest): Promise<Reply> {
  const ended = connection.ended.then(() => {
    throw new Error('ended before the reply')
  })
  return Promise.race([connection.call(request), ended])
}

function nextRequest(count: number): CallRequest {
  const paths = Object.keys(failures)
  if (count % failingEvery === 0) {
    return { path: paths[(count / failingEvery) % paths.length] ?? '/' }
  }
  if (count % uploadEvery === 1) return { method: 'POST', path: '/upload', body: upload }
  return { path: '/v1/reports' }
}
