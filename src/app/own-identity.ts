import type { Clock, Timer } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'

/** Who must hear of our own identity. */
export interface IdentityUser {
  /** Serve new handshakes with it. Throws when it cannot be taken; what served before serves on. */
  useIdentity(svid: X509Svid): void
  /** No valid identity is held: refuse new handshakes. */
  loseIdentity(): void
}

export interface OwnIdentityOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly user: IdentityUser
}

/** How often the SVID's validity is looked at, by the wall clock, which may jump either way. */
const checkEveryMs = 1_000

/**
 * The SVID that we serve with, watched by our own timer: an agent that cannot renew says nothing, so nobody else will
 * tell us that it has expired. A clock that comes back to its senses brings the identity back. Only the end of validity
 * counts: whether it has begun is for our peers to judge, by their clocks, and a clock that lags must not cost a renewal.
 */
export class OwnIdentity {
  readonly #options: OwnIdentityOptions
  /** What we were given last. */
  #held: X509Svid | undefined
  /** What new handshakes are served with. */
  #serving: X509Svid | undefined
  #timer: Timer | undefined

  constructor(options: OwnIdentityOptions) {
    this.#options = options
  }

  /** Whether new handshakes are served. */
  get isUsable(): boolean {
    return this.#serving !== undefined
  }

  /** What is held, expired or not. */
  get svid(): X509Svid | undefined {
    return this.#held
  }

  /** A new SVID. One that has expired, or that cannot be put into service, is reported, and the one before serves on. */
  hold(svid: X509Svid): void {
    if (!this.#hasBegun(svid) || this.#hasExpired(svid)) {
      this.#options.logger.warn('SVID is not valid at this time', {
        spiffeId: svid.id.toString(),
        notBefore: new Date(notBeforeMs(svid)).toISOString(),
        notAfter: new Date(svid.notAfterMs).toISOString(),
      })
    }
    this.#held = svid
    this.#check()
  }

  /** The agent took it back, or the files are gone. */
  drop(): void {
    this.close()
    this.#held = undefined
    this.#lose('identity withdrawn')
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  readonly #check = (): void => {
    this.close()
    const held = this.#held
    if (held === undefined) return
    if (held !== this.#serving && !this.#hasExpired(held)) this.#serveWith(held)
    if (this.#serving !== undefined && this.#hasExpired(this.#serving)) {
      this.#lose('identity expired')
    }
    this.#timer = this.#options.clock.setTimer(checkEveryMs, this.#check)
  }

  #serveWith(svid: X509Svid): void {
    try {
      this.#options.user.useIdentity(svid)
      this.#serving = svid
    } catch (error) {
      this.#options.logger.error('SVID not taken into service', { error: messageOf(error) })
      this.#held = this.#serving
    }
  }

  #lose(message: string): void {
    if (this.#serving === undefined) return
    this.#serving = undefined
    this.#options.logger.error(message)
    this.#options.user.loseIdentity()
  }

  #hasBegun(svid: X509Svid): boolean {
    return notBeforeMs(svid) <= this.#options.clock.now()
  }

  #hasExpired(svid: X509Svid): boolean {
    return svid.notAfterMs < this.#options.clock.now()
  }
}

/** When the last certificate of the chain begins to be valid. */
function notBeforeMs(svid: X509Svid): number {
  return Math.max(...svid.certificates.map((certificate) => certificate.notBeforeMs))
}

/** For gauges: when the last anchor of each bundle ends, milliseconds since 1970. */
export function bundleValidities(
  bundles: TrustBundles,
): { trustDomain: string; notAfterMs: number }[] {
  return [...bundles.values()].map((bundle) => ({
    trustDomain: bundle.trustDomain.name,
    notAfterMs: Math.max(0, ...bundle.anchors.map((anchor) => anchor.notAfterMs)),
  }))
}
