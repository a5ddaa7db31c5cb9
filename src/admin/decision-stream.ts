import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../core/clock.ts'
import type { RecentDecisions } from './memory/recent-decisions.ts'
import {
  type DecisionFilter,
  type DecisionLine,
  matchesFilter,
  viewDecisionLine,
} from './views/decision-view.ts'

export interface DecisionStreamsOptions {
  readonly clock: Clock
  readonly recent: RecentDecisions
  /** The number of the current trust state; who listens is told of each new one. */
  readonly epoch: () => number
}

const tellEveryMs = 250
/** An idle stream says so, or something between us and the browser would end it. */
const beatEveryTells = 40
const mostStreams = 16
/** More at once nobody reads, and a busy sidecar must not render them. */
const mostLinesATell = 50
/** Unread bytes at which a reader is given up; a browser comes back by itself. */
const mostUnreadBytes = 1024 * 1024

/** Who watches decisions as they are made (server-sent events). They are looked up four times a second, and never waited for. */
export class DecisionStreams {
  readonly #options: DecisionStreamsOptions
  readonly #streams = new Set<DecisionStream>()
  #timer: Timer | undefined
  #tells = 0

  constructor(options: DecisionStreamsOptions) {
    this.#options = options
  }

  /** False: there are too many already. */
  add(reply: ServerResponse, filter: DecisionFilter): boolean {
    if (this.#streams.size >= mostStreams) return false
    const stream = new DecisionStream(reply, filter, this.#options)
    this.#streams.add(stream)
    reply.once('close', () => this.#streams.delete(stream))
    this.#timer ??= this.#options.clock.setTimer(tellEveryMs, this.#tell)
    return true
  }

  /** Ends all of them. */
  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (const stream of this.#streams) stream.end()
    this.#streams.clear()
  }

  readonly #tell = (): void => {
    this.#timer = undefined
    const beats = ++this.#tells % beatEveryTells === 0
    for (const stream of this.#streams) stream.tell(beats)
    if (this.#streams.size > 0) this.#timer = this.#options.clock.setTimer(tellEveryMs, this.#tell)
  }
}

class DecisionStream {
  readonly #reply: ServerResponse
  readonly #filter: DecisionFilter
  readonly #options: DecisionStreamsOptions
  #lastNumber: number
  #lastEpoch: number

  constructor(reply: ServerResponse, filter: DecisionFilter, options: DecisionStreamsOptions) {
    this.#reply = reply
    this.#filter = filter
    this.#options = options
    this.#lastNumber = options.recent.count
    this.#lastEpoch = options.epoch()
    reply.write('retry: 2000\n\n')
  }

  tell(beats: boolean): void {
    if (this.#reply.writableLength > mostUnreadBytes) {
      this.#reply.destroy()
      return
    }
    const epoch = this.#options.epoch()
    const text =
      this.#decisions() +
      (epoch === this.#lastEpoch ? '' : event('epoch', { epoch })) +
      (beats ? ': still here\n\n' : '')
    this.#lastEpoch = epoch
    if (text !== '') this.#reply.write(text)
  }

  end(): void {
    this.#reply.end()
  }

  /** What came since the last time, oldest first. */
  #decisions(): string {
    const { recent } = this.#options
    const made = recent.count - this.#lastNumber
    if (made === 0) return ''
    const lines: DecisionLine[] = []
    let looked = 0
    for (const { record } of recent.after(this.#lastNumber)) {
      looked++
      const line = viewDecisionLine(record)
      if (matchesFilter(line, this.#filter)) lines.push(line)
      if (lines.length === mostLinesATell) break
    }
    this.#lastNumber = recent.count
    const told = lines.reverse().map((line) => event('decision', line))
    // Whether those would have matched is not known.
    if (looked < made) told.unshift(event('skipped', { count: made - looked }))
    return told.join('')
  }
}

/** JSON holds no line feed. */
function event(name: string, data: object): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
