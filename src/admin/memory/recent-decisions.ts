import type { DecisionRecord } from '../../telemetry/telemetry.ts'

/** A decision with its place in the order of all that were made. */
export interface NumberedRecord {
  /** Rises by one with each decision, from 1. */
  readonly number: number
  readonly record: DecisionRecord
}

export interface RecentDecisionsOptions {
  /** Bytes of a request's head: a record may hold on to all of one. */
  readonly maxHeaderBytes: number
}

const mostOfEach = 512
const mostHeldBytes = 16 * 1024 * 1024

/**
 * The last decisions: allowed and denied ones apart, so that no traffic pushes out the denial that somebody asks for. On
 * the path of every request: two writes, nothing is rendered or copied.
 */
export class RecentDecisions {
  readonly #allowed: Ring
  readonly #denied: Ring
  #count = 0

  constructor({ maxHeaderBytes }: RecentDecisionsOptions) {
    const size = Math.max(16, Math.min(mostOfEach, Math.floor(mostHeldBytes / maxHeaderBytes)))
    this.#allowed = new Ring(size)
    this.#denied = new Ring(size)
  }

  /** How many decisions there were; the number of the last one. */
  get count(): number {
    return this.#count
  }

  add(record: DecisionRecord): void {
    const ring = record.decision.outcome === 'allow' ? this.#allowed : this.#denied
    ring.add(++this.#count, record)
  }

  /** Undefined: there was none with this id, or it is no longer held. */
  find(id: string): DecisionRecord | undefined {
    for (const { record } of this.after(0)) if (record.id === id) return record
    return undefined
  }

  /** Those that are held and came after the one with this number, newest first. */
  *after(number: number): Generator<NumberedRecord> {
    const allowed = this.#allowed.newestFirst()
    const denied = this.#denied.newestFirst()
    let a = allowed.next()
    let d = denied.next()
    for (;;) {
      const takesAllowed = (a.value?.number ?? 0) > (d.value?.number ?? 0)
      const next = takesAllowed ? a.value : d.value
      if (next === undefined || next.number <= number) return
      yield next
      if (takesAllowed) a = allowed.next()
      else d = denied.next()
    }
  }
}

class Ring {
  readonly #size: number
  readonly #records: DecisionRecord[] = []
  readonly #numbers: number[] = []
  #next = 0

  constructor(size: number) {
    this.#size = size
  }

  add(number: number, record: DecisionRecord): void {
    this.#records[this.#next] = record
    this.#numbers[this.#next] = number
    this.#next = this.#next + 1 === this.#size ? 0 : this.#next + 1
  }

  *newestFirst(): Generator<NumberedRecord, undefined> {
    const held = this.#records.length
    for (let back = 1; back <= held; back++) {
      const at = (this.#next - back + held) % held
      const record = this.#records[at]
      const number = this.#numbers[at]
      if (record !== undefined && number !== undefined) yield { number, record }
    }
    return undefined
  }
}
