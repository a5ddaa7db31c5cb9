import type { Clock, Timer } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import type { MappedAuthority, ProductMap } from '../policy/product-map.ts'
import type { CrlValidity, Telemetry } from '../telemetry/telemetry.ts'
import { newestEditions } from '../x509/revocation.ts'
import type { RevocationList } from '../x509/revocation-list.ts'

export interface CrlWatchOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly telemetry: Pick<Telemetry, 'crls'>
  /** A list of an authority with `crlRequired` ended, or a list that had not begun is in force: callers are to be judged again. */
  readonly onStandingChange: () => void
}

/** How often the lists' dates are looked at, by the wall clock, which may jump either way. */
const checkEveryMs = 1_000

/**
 * Watches the dates of the revocation lists in force. Nothing tells that a list has ended: no file changes, and the answer
 * of an authority with `crlRequired` does.
 */
export class CrlWatch {
  readonly #options: CrlWatchOptions
  #lists: readonly WatchedList[] = []
  #current: ReadonlySet<RevocationList> = new Set()
  #timer: Timer | undefined

  constructor(options: CrlWatchOptions) {
    this.#options = options
  }

  /** These are in force from now on. Those that are not current are told of. */
  watch(products: ProductMap): void {
    const authorities = [...products.authorities.values()].filter(namesLists)
    this.#options.telemetry.crls(authorities.flatMap(validityOf))
    const before = new Set(this.#lists.map(({ list }) => list))
    this.#lists = authorities.flatMap((authority) =>
      (authority.revocation?.lists ?? []).map((list) => ({ list, authority })),
    )
    this.#current = this.#findCurrent()
    this.#tell(this.#lists.filter(({ list }) => !before.has(list) && !this.#current.has(list)))
    this.#schedule()
  }

  /** Idempotent. */
  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #schedule(): void {
    this.close()
    if (this.#lists.length > 0)
      this.#timer = this.#options.clock.setTimer(checkEveryMs, this.#check)
  }

  readonly #check = (): void => {
    const current = this.#findCurrent()
    const changed = this.#lists.filter(({ list }) => current.has(list) !== this.#current.has(list))
    this.#current = current
    this.#tell(changed.filter(({ list }) => !current.has(list)))
    if (changed.some(({ authority }) => authority.revocation?.required === true))
      this.#options.onStandingChange()
    this.#schedule()
  }

  #findCurrent(): ReadonlySet<RevocationList> {
    const nowMs = this.#options.clock.now()
    return new Set(this.#lists.map(({ list }) => list).filter((list) => list.isCurrent(nowMs)))
  }

  #tell(stale: readonly WatchedList[]): void {
    const newest = new Set(newestEditions(this.#lists.map(({ list }) => list)))
    for (const { list, authority } of stale) {
      if (!newest.has(list)) continue
      this.#options.logger.warn('revocation list is not current', {
        authority: authority.alias,
        issuer: list.issuer,
        thisUpdate: dateOf(list.thisUpdateMs),
        nextUpdate: dateOf(list.nextUpdateMs),
        crlRequired: authority.revocation?.required === true,
      })
    }
  }
}

interface WatchedList {
  readonly list: RevocationList
  readonly authority: MappedAuthority
}

function namesLists({ revocation }: MappedAuthority): boolean {
  return revocation !== undefined
}

/** Nothing when none of its lists ends. */
function validityOf({ alias, revocation }: MappedAuthority): CrlValidity[] {
  const ends = newestEditions(revocation?.lists ?? []).map((list) => list.nextUpdateMs)
  const nextUpdateMs = ends.length === 0 ? 0 : Math.min(...ends)
  return nextUpdateMs === Infinity ? [] : [{ authority: alias, nextUpdateMs }]
}

function dateOf(ms: number): string {
  return ms === Infinity ? 'none' : new Date(ms).toISOString()
}
