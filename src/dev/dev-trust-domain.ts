import type { Clock } from '../core/clock.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { DevCa } from './dev-ca.ts'

export interface DevTrustDomainOptions {
  readonly clock: Clock
  readonly trustDomain: TrustDomain
  /** Validity of each CA, milliseconds. */
  readonly caTtlMs: number
}

/** The CAs of one trust domain through their rotations: one signs, others are in the bundle before or after their turn. */
export class DevTrustDomain {
  readonly trustDomain: TrustDomain
  readonly #options: DevTrustDomainOptions
  #active: DevCa
  #prepared: DevCa | undefined
  #old: readonly DevCa[] = []

  private constructor(options: DevTrustDomainOptions, active: DevCa) {
    this.trustDomain = options.trustDomain
    this.#options = options
    this.#active = active
  }

  static async create(options: DevTrustDomainOptions): Promise<DevTrustDomain> {
    return new DevTrustDomain(options, await createCa(options))
  }

  /** The CA that signs. */
  get active(): DevCa {
    return this.#active
  }

  /** The CAs of the bundle: the one that signs, the next one, those that signed before. */
  get authorities(): readonly DevCa[] {
    const prepared = this.#prepared === undefined ? [] : [this.#prepared]
    return [this.#active, ...prepared, ...this.#old]
  }

  /** The bundle: certificates in DER, one after another. */
  get bundle(): Buffer {
    return Buffer.concat(this.authorities.map((ca) => ca.certificate))
  }

  /** Adds the next CA to the bundle; it does not sign yet. Nothing happens when one is prepared already. */
  async prepare(): Promise<void> {
    this.#prepared ??= await createCa(this.#options)
  }

  /** Lets the next CA sign, prepared now when it was not; the one before stays in the bundle. */
  async activate(): Promise<void> {
    await this.prepare()
    if (this.#prepared === undefined) return
    this.#old = [this.#active, ...this.#old]
    this.#active = this.#prepared
    this.#prepared = undefined
  }

  /** Drops every CA that signed before from the bundle; returns how many there were. */
  withdrawOld(): number {
    const count = this.#old.length
    this.#old = []
    return count
  }
}

function createCa(options: DevTrustDomainOptions): Promise<DevCa> {
  return DevCa.create({
    clock: options.clock,
    trustDomain: options.trustDomain,
    ttlMs: options.caTtlMs,
  })
}
