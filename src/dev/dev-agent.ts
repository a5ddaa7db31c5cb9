import { type Clock, type Timer, wait } from '../core/clock.ts'
import { PosternError, messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import type { X509SVID, X509SVIDResponse } from '../workload-api/generated/workload.ts'
import type { IssuedCertificate } from './dev-ca.ts'
import { DevTrustDomain } from './dev-trust-domain.ts'
import { certificatesToPem, privateKeyToPem } from './pem.ts'
import { WorkloadApiServer } from './workload-api-server.ts'

export interface DevAgentOptions {
  readonly clock: Clock
  readonly logger: Logger
  /** Names of the trust domains that it keeps a CA for; at least one. */
  readonly trustDomains: readonly string[]
  /** Which of them trust each other, both ways. Default `all`. */
  readonly federation?: 'all' | readonly (readonly [string, string])[]
  /**
   * What federated trust domains get of each other: the bundle as it is, or a copy of it from the last `federate`, as SPIRE
   * servers have between two refreshes. Default `live`.
   */
  readonly federatedBundles?: 'live' | 'copied'
  /** Validity of SVIDs, milliseconds; they are renewed at half of it. Default 1 hour. */
  readonly svidTtlMs?: number
  /** Validity of CAs, milliseconds; they are rotated on command only. Default 365 days. */
  readonly caTtlMs?: number
  /** How long `rotateCa` waits between a new root in the bundles and its first signature, milliseconds. Default 1000. */
  readonly propagationMs?: number
}

export interface DevListenOptions {
  /** Absolute path of the Unix socket. Whoever can open it gets the identity. */
  readonly socketPath: string
  readonly spiffeId: string
  readonly hint?: string
}

export interface MintOptions {
  readonly trustDomain: string
  /** Absent: a certificate without a SPIFFE ID. */
  readonly spiffeId?: string
  /** RFC 4514. Default `C=US, O=SPIRE`. */
  readonly subject?: string
  readonly dnsNames?: readonly string[]
  /** Milliseconds. Default: that of the agent's SVIDs. */
  readonly ttlMs?: number
}

/** A certificate in the forms that programs read. */
export interface MintedCertificate extends IssuedCertificate {
  /** The leaf first, then the intermediates. */
  readonly certificatePem: string
  readonly privateKeyPem: string
}

/** A workload that the agent issues SVIDs to. */
interface Entry {
  readonly spiffeId: SpiffeId
  readonly dnsNames: readonly string[]
  readonly domain: DevTrustDomain
  issued: IssuedCertificate
  renewal: Timer | undefined
}

/** A socket and the identities that its callers get, in order. */
interface Endpoint {
  readonly socketPath: string
  readonly identities: { readonly spiffeId: string; readonly hint: string }[]
  server: WorkloadApiServer | undefined
}

/**
 * A SPIFFE agent and server in one object, for development and tests only: keys live in memory, and a caller is known by the
 * socket that it opened, not by attestation. Real gRPC on Unix sockets; changes are pushed as full states. Changes are made
 * one after another in the order in which they were asked for, and each method resolves when its change was published.
 */
export class DevAgent {
  readonly #options: DevAgentOptions
  readonly #domains: ReadonlyMap<string, DevTrustDomain>
  /** By pair: the bundles of both, by the name of their trust domain, when they last met. */
  readonly #federations = new Map<string, ReadonlyMap<string, Buffer>>()
  readonly #entries = new Map<string, Entry>()
  readonly #endpoints = new Map<string, Endpoint>()
  readonly #listeners = new Set<() => void>()
  readonly #closing = new AbortController()
  #svidTtlMs: number
  #isServing = true
  #last: Promise<unknown> = Promise.resolve()

  private constructor(options: DevAgentOptions, domains: readonly DevTrustDomain[]) {
    this.#options = options
    this.#domains = new Map(domains.map((domain) => [domain.trustDomain.name, domain]))
    this.#svidTtlMs = options.svidTtlMs ?? 3_600_000
    for (const [a, b] of federationPairs(options)) this.#federate(a, b)
  }

  /** Makes the CAs; `listen` opens sockets. Throws `PosternError` ERR_TRUST_DOMAIN_INVALID. */
  static async start(options: DevAgentOptions): Promise<DevAgent> {
    if (options.trustDomains.length === 0) throw new TypeError('trustDomains is empty')
    const { clock, caTtlMs = 365 * 86_400_000 } = options
    const names = [...new Set(options.trustDomains)].map((name) => TrustDomain.parse(name))
    const domains = await Promise.all(
      names.map((trustDomain) => DevTrustDomain.create({ clock, trustDomain, caTtlMs })),
    )
    options.logger.warn('development agent started: its identities prove nothing in production', {
      trustDomains: names.map((name) => name.name),
    })
    return new DevAgent(options, domains)
  }

  /** Names of the trust domains. */
  get trustDomains(): readonly string[] {
    return [...this.#domains.keys()]
  }

  /** SPIFFE IDs that SVIDs are kept for. */
  get spiffeIds(): readonly string[] {
    return [...this.#entries.keys()]
  }

  /**
   * Serves an identity on a socket. A second call with the same socket adds an identity to it.
   * Throws `PosternError` ERR_SPIFFE_ID_INVALID, ERR_TRUST_DOMAIN_INVALID, ERR_LISTEN_FAILED.
   */
  listen(options: DevListenOptions): Promise<void> {
    return this.#inOrder(async () => {
      const { socketPath, spiffeId, hint = '' } = options
      await this.#ensureEntry(spiffeId)
      const endpoint = this.#endpoints.get(socketPath) ?? newEndpoint(socketPath)
      endpoint.identities.push({ spiffeId, hint })
      if (this.#isServing) await this.#open(endpoint)
      this.#endpoints.set(socketPath, endpoint)
    })
  }

  /** Keeps an SVID for a workload, with DNS names where it has some: a new one, or one that was removed and whose sockets get it back. */
  addEntry(spiffeId: string, dnsNames: readonly string[] = []): Promise<void> {
    return this.#inOrder(() => this.#ensureEntry(spiffeId, dnsNames))
  }

  /** Withdraws an identity. A socket that has no other answers PERMISSION_DENIED. Throws ERR_SPIFFE_ID_INVALID when unknown. */
  removeEntry(spiffeId: string): Promise<void> {
    return this.#inOrder(() => {
      this.#entry(spiffeId).renewal?.cancel()
      this.#entries.delete(spiffeId)
    })
  }

  /** The SVID of a workload as it is now. Throws ERR_SPIFFE_ID_INVALID when unknown. */
  svid(spiffeId: string): MintedCertificate {
    return withPem(this.#entry(spiffeId).issued)
  }

  /** Issues a fresh SVID, to all workloads without an argument. */
  renewNow(spiffeId?: string): Promise<void> {
    return this.#inOrder(async () => {
      const entries = spiffeId === undefined ? this.#entries.values() : [this.#entry(spiffeId)]
      for (const entry of entries) await this.#renew(entry)
    })
  }

  /** Sets the validity of SVIDs, milliseconds, and issues fresh ones to all workloads. */
  setTtl(ttlMs: number): Promise<void> {
    this.#svidTtlMs = ttlMs
    return this.renewNow()
  }

  /** `prepareCa`, the wait of `propagationMs`, `activateCa`: a rotation as peers survive it. */
  async rotateCa(trustDomain: string): Promise<void> {
    await this.prepareCa(trustDomain)
    const { clock, propagationMs = 1_000 } = this.#options
    if (propagationMs > 0) await wait(clock, propagationMs, this.#closing.signal)
    await this.activateCa(trustDomain)
  }

  /** Adds the next root to the bundle; SVIDs stay as they are. */
  prepareCa(trustDomain: string): Promise<void> {
    return this.#inOrder(() => this.#domain(trustDomain).prepare())
  }

  /** Signs with the next root from now on and issues fresh SVIDs; the old root stays in the bundle. */
  activateCa(trustDomain: string): Promise<void> {
    return this.#inOrder(async () => {
      const domain = this.#domain(trustDomain)
      await domain.activate()
      for (const entry of this.#entries.values()) {
        if (entry.domain === domain) await this.#renew(entry)
      }
    })
  }

  /** Drops the roots that signed before from the bundle; resolves with how many there were. */
  withdrawOldCa(trustDomain: string): Promise<number> {
    return this.#inOrder(() => this.#domain(trustDomain).withdrawOld())
  }

  /** Lets two trust domains trust each other; again: refreshes their copies of each other's bundle. */
  federate(a: string, b: string): Promise<void> {
    return this.#inOrder(() => this.#federate(a, b))
  }

  /** Ends the trust between two trust domains: each loses the other's bundle. */
  defederate(a: string, b: string): Promise<void> {
    return this.#inOrder(() => void this.#federations.delete(this.#pair(a, b)))
  }

  /** Closes the sockets, as an agent that went down; state and timers go on. */
  stopServing(): Promise<void> {
    return this.#inOrder(async () => {
      this.#isServing = false
      await this.#closeEndpoints()
    })
  }

  /** Opens the sockets again. */
  startServing(): Promise<void> {
    return this.#inOrder(async () => {
      this.#isServing = true
      for (const endpoint of this.#endpoints.values()) await this.#open(endpoint)
    })
  }

  /** Issues a certificate that the agent does not keep, for a client such as curl. */
  async mint(options: MintOptions): Promise<MintedCertificate> {
    const { trustDomain, spiffeId, ttlMs = this.#svidTtlMs, ...rest } = options
    const id = spiffeId === undefined ? {} : { spiffeId: SpiffeId.parse(spiffeId) }
    return withPem(await this.#domain(trustDomain).active.issue({ ...rest, ...id, ttlMs }))
  }

  /** The bundle of a trust domain. */
  bundlePem(trustDomain: string): string {
    return certificatesToPem(this.#domain(trustDomain).authorities.map((ca) => ca.certificate))
  }

  /** Calls `listener` after every change of SVIDs, bundles or entries; returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Closes sockets and timers. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#last
    for (const entry of this.#entries.values()) entry.renewal?.cancel()
    await this.#closeEndpoints()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs one change after the ones before it and publishes what came out. */
  #inOrder<T>(change: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(async () => {
      if (this.#closing.signal.aborted) throw new TypeError('the development agent is closed')
      const result = await change()
      this.#publish()
      return result
    })
    this.#last = done.catch(() => undefined)
    return done
  }

  #publish(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.server?.publish(this.#state(endpoint))
    for (const listener of this.#listeners) listener()
  }

  #domain(name: string): DevTrustDomain {
    const domain = this.#domains.get(name)
    if (domain !== undefined) return domain
    const message = `trust domain ${JSON.stringify(name)} is none of this agent's`
    throw new PosternError('ERR_TRUST_DOMAIN_INVALID', message)
  }

  #pair(a: string, b: string): string {
    return pairKey(this.#domain(a).trustDomain.name, this.#domain(b).trustDomain.name)
  }

  #federate(a: string, b: string): void {
    const copies = [a, b].map((name) => {
      const { trustDomain, bundle } = this.#domain(name)
      return [trustDomain.name, bundle] as const
    })
    this.#federations.set(this.#pair(a, b), new Map(copies))
  }

  #entry(spiffeId: string): Entry {
    const entry = this.#entries.get(spiffeId)
    if (entry !== undefined) return entry
    const message = `SPIFFE ID ${JSON.stringify(spiffeId)} is none of this agent's`
    throw new PosternError('ERR_SPIFFE_ID_INVALID', message)
  }

  async #ensureEntry(text: string, dnsNames: readonly string[] = []): Promise<void> {
    if (this.#entries.has(text)) return
    const spiffeId = SpiffeId.parse(text)
    const domain = this.#domain(spiffeId.trustDomain.name)
    const issued = await this.#issue({ domain, spiffeId, dnsNames })
    const entry: Entry = { spiffeId, dnsNames, domain, issued, renewal: undefined }
    this.#entries.set(text, entry)
    this.#scheduleRenewal(entry)
  }

  #issue({
    domain,
    spiffeId,
    dnsNames,
  }: Pick<Entry, 'domain' | 'spiffeId' | 'dnsNames'>): Promise<IssuedCertificate> {
    return domain.active.issue({ spiffeId, dnsNames, ttlMs: this.#svidTtlMs })
  }

  async #renew(entry: Entry): Promise<void> {
    if (this.#entries.get(entry.spiffeId.toString()) !== entry) return
    entry.issued = await this.#issue(entry)
    this.#scheduleRenewal(entry)
  }

  #scheduleRenewal(entry: Entry): void {
    entry.renewal?.cancel()
    const renew = () => {
      this.#inOrder(() => this.#renew(entry)).catch((error: unknown) => {
        this.#options.logger.debug('renewal skipped', { error: messageOf(error) })
      })
    }
    entry.renewal = this.#options.clock.setTimer(this.#svidTtlMs / 2, renew)
  }

  async #open(endpoint: Endpoint): Promise<void> {
    endpoint.server ??= await WorkloadApiServer.start({
      socketPath: endpoint.socketPath,
      state: this.#state(endpoint),
    })
  }

  async #closeEndpoints(): Promise<void> {
    for (const endpoint of this.#endpoints.values()) {
      await endpoint.server?.close()
      endpoint.server = undefined
    }
  }

  /** What a socket answers: nothing when none of its identities exists. */
  #state(endpoint: Endpoint): X509SVIDResponse | undefined {
    const held = endpoint.identities.flatMap(({ spiffeId, hint }) => {
      const entry = this.#entries.get(spiffeId)
      return entry === undefined ? [] : [{ entry, hint }]
    })
    if (held.length === 0) return undefined
    return {
      svids: held.map(({ entry, hint }) => toMessage(entry, hint)),
      crl: [],
      federatedBundles: this.#federatedBundles(held.map(({ entry }) => entry.domain)),
    }
  }

  #federatedBundles(own: readonly DevTrustDomain[]): Map<string, Buffer> {
    const foreign = [...this.#domains.values()].filter((domain) => !own.includes(domain))
    return new Map(
      foreign.flatMap((domain) => {
        const bundle = this.#bundleFor(own, domain)
        return bundle === undefined ? [] : [[domain.trustDomain.id, bundle]]
      }),
    )
  }

  /** undefined: none of them is federated with it. */
  #bundleFor(own: readonly DevTrustDomain[], { trustDomain, bundle }: DevTrustDomain) {
    const copy = own
      .map((domain) => this.#federations.get(pairKey(domain.trustDomain.name, trustDomain.name)))
      .find((copies) => copies !== undefined)
      ?.get(trustDomain.name)
    return copy !== undefined && this.#options.federatedBundles !== 'copied' ? bundle : copy
  }
}

function newEndpoint(socketPath: string): Endpoint {
  return { socketPath, identities: [], server: undefined }
}

function federationPairs(options: DevAgentOptions): readonly (readonly [string, string])[] {
  const { federation = 'all', trustDomains } = options
  if (federation !== 'all') return federation
  return trustDomains.flatMap((a, i) => trustDomains.slice(i + 1).map((b) => [a, b] as const))
}

/** The same for both orders. */
function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

function toMessage(entry: Entry, hint: string): X509SVID {
  return {
    spiffeId: entry.spiffeId.toString(),
    x509Svid: Buffer.concat(entry.issued.certificates),
    x509SvidKey: entry.issued.privateKeyDer,
    bundle: entry.domain.bundle,
    hint,
  }
}

function withPem(issued: IssuedCertificate): MintedCertificate {
  return {
    ...issued,
    certificatePem: certificatesToPem(issued.certificates),
    privateKeyPem: privateKeyToPem(issued.privateKeyDer),
  }
}
