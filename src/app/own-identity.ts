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
 * tell us that it has expired. A clock that comes back to its senses brings the identity back.
 */
export class OwnIdentity {
  readonly #options: OwnIdentityOptions
  #svid: X509Svid | undefined
  #isUsable = false
  #timer: Timer | undefined

  constructor(options: OwnIdentityOptions) {
    this.#options = options
  }

  /** Whether new handshakes are served. */
  get isUsable(): boolean {
    return this.#isUsable
  }

  /** What is held, expired or not. */
  get svid(): X509Svid | undefined {
    return this.#svid
  }

  /** A new SVID. One that cannot be put into service is reported, and the one before serves on. */
  hold(svid: X509Svid): void {
    if (!this.#isValid(svid)) {
      this.#options.logger.warn('SVID is not valid at this time', {
        spiffeId: svid.id.toString(),
        notAfter: new Date(svid.notAfterMs).toISOString(),
      })
    }
    try {
      this.#options.user.useIdentity(svid)
    } catch (error) {
      this.#options.logger.error('SVID not taken into service', { error: messageOf(error) })
      return
    }
    this.#svid = svid
    this.#isUsable = true
    this.#check()
  }

  /** The agent took it back, or the files are gone. */
  drop(): void {
    this.#svid = undefined
    this.#lose('identity withdrawn')
    this.#timer?.cancel()
    this.#timer = undefined
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  readonly #check = (): void => {
    this.#timer?.cancel()
    this.#timer = undefined
    const svid = this.#svid
    if (svid === undefined) return
    if (!this.#isValid(svid)) this.#lose('identity expired')
    else if (!this.#isUsable) this.#regain(svid)
    this.#timer = this.#options.clock.setTimer(checkEveryMs, this.#check)
  }

  #isValid(svid: X509Svid): boolean {
    const nowMs = this.#options.clock.now()
    return nowMs <= svid.notAfterMs && svid.certificates.every((one) => one.notBeforeMs <= nowMs)
  }

  #lose(message: string): void {
    if (!this.#isUsable) return
    this.#isUsable = false
    this.#options.logger.error(message)
    this.#options.user.loseIdentity()
  }

  #regain(svid: X509Svid): void {
    this.#options.user.useIdentity(svid)
    this.#isUsable = true
    this.#options.logger.info('identity is valid again')
  }
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
