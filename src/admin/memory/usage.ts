import type { CredentialKind, Decision } from '../../policy/decision.ts'
import type { DecisionRecord } from '../../telemetry/telemetry.ts'
import { FadingTable } from './fading-table.ts'

/** A caller that proved who it is, for one product. */
export interface SeenCaller {
  readonly product: string
  readonly principal: string
  readonly credential: CredentialKind
  allowed: number
  denied: number
  /** Milliseconds since 1970. */
  readonly firstMs: number
  lastMs: number
  /** Of the last request that was allowed; 0: none was. */
  lastAllowedMs: number
}

/** An API key that was presented and is known. */
export interface SeenKey {
  readonly id: string
  readonly product: string
  readonly consumer: string
  /** Requests that it opened, alone or beside a certificate. */
  allowed: number
  denied: number
  /** Milliseconds since 1970. */
  readonly firstMs: number
  lastMs: number
  /** Of the last request that was allowed; 0: none was. */
  lastAllowedMs: number
}

/** All that is counted; what is kept across restarts. */
export interface UsageSnapshot {
  /** Since when it was counted, milliseconds since 1970. */
  readonly sinceMs: number
  readonly callers: readonly Readonly<SeenCaller>[]
  readonly keys: readonly Readonly<SeenKey>[]
}

/** Bounds of each kind of credential by itself: workloads that come and go must not push out who still uses a key. */
export const mostCallersOfAKind = 5_000
export const mostSeenKeys = 10_000

/**
 * Who called, by product and credential, and which keys were used. On the path of every request: a few look-ups by words
 * that are there already, and counters.
 */
export class Usage {
  readonly #callers: Readonly<Record<CredentialKind, FadingTable<SeenCaller>>> = {
    'x509-svid': new FadingTable(mostCallersOfAKind),
    x509: new FadingTable(mostCallersOfAKind),
    'api-key': new FadingTable(mostCallersOfAKind),
  }
  /** By product and id: a key may be given to another product. */
  readonly #keys = new FadingTable<SeenKey>(mostSeenKeys)
  readonly #sinceMs: number
  #changes = 0

  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs
  }

  /** Goes on where another run ended. */
  static from({ sinceMs, callers, keys }: UsageSnapshot): Usage {
    const usage = new Usage(sinceMs)
    for (const one of callers) {
      usage.#callers[one.credential].add(one.product, one.principal, { ...one })
    }
    for (const one of keys) usage.#keys.add(one.product, one.id, { ...one })
    return usage
  }

  get sinceMs(): number {
    return this.#sinceMs
  }

  /** Rises with everything that is counted. */
  get changes(): number {
    return this.#changes
  }

  /** Callers and keys that had to be forgotten for want of room. */
  get forgotten(): number {
    const tables = [...Object.values(this.#callers), this.#keys]
    return tables.reduce((sum, table) => sum + table.forgotten, 0)
  }

  add({ decision, atMs }: DecisionRecord): void {
    const { product, principal, credential, apiKeyId } = decision
    if (product === undefined) return
    this.#changes++
    if (principal !== undefined && credential !== undefined) {
      const table = this.#callers[credential]
      let cell = table.get(product, principal)
      if (cell === undefined) {
        cell = { product, principal, credential, ...unseen(atMs) }
        table.add(product, principal, cell)
      }
      count(cell, decision, atMs)
    }
    if (apiKeyId !== undefined) this.#addKey(product, apiKeyId, decision, atMs)
  }

  /** Callers of one product. */
  callersOf(product: string): readonly Readonly<SeenCaller>[] {
    return Object.values(this.#callers).flatMap((table) => table.row(product))
  }

  /** The keys of one product. */
  keysOf(product: string): readonly Readonly<SeenKey>[] {
    return this.#keys.row(product)
  }

  key(product: string, id: string): Readonly<SeenKey> | undefined {
    return this.#keys.get(product, id)
  }

  snapshot(): UsageSnapshot {
    return {
      sinceMs: this.#sinceMs,
      callers: Object.values(this.#callers).flatMap((table) => [...table.values()]),
      keys: [...this.#keys.values()],
    }
  }

  #addKey(product: string, id: string, decision: Decision, atMs: number): void {
    let cell = this.#keys.get(product, id)
    if (cell === undefined) {
      cell = { id, product, consumer: decision.consumer ?? '', ...unseen(atMs) }
      this.#keys.add(product, id, cell)
    }
    count(cell, decision, atMs)
  }
}

type Counters = Pick<SeenKey, 'allowed' | 'denied' | 'lastMs' | 'lastAllowedMs'>

function unseen(atMs: number) {
  return { allowed: 0, denied: 0, firstMs: atMs, lastMs: atMs, lastAllowedMs: 0 }
}

function count(cell: Counters, decision: Decision, atMs: number): void {
  cell.lastMs = atMs
  if (decision.outcome === 'allow') {
    cell.allowed++
    cell.lastAllowedMs = atMs
  } else {
    cell.denied++
  }
}
