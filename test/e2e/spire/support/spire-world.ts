import type { SpireAgent } from '../../../support/spire-agent.ts'
import type { SpireAuthorities, SpireBinaries, SpireDomain } from '../../../support/spire-domain.ts'
import { SpireCluster } from '../../../support/spire.ts'
import type { CallerIdentity } from '../../support/caller.ts'
import {
  ownDomain,
  partnerDomain,
  type RegisteredIdentity,
  type TrustWorld,
  type WorkloadEndpoint,
} from '../../trust/support/trust-world.ts'

/** A real SPIRE as a trust world: each endpoint is an agent of its own. */
export class SpireWorld implements TrustWorld {
  /** SPIRE dates certificates back by ten seconds and renews at half of the whole: every two seconds. */
  readonly shortTtlSeconds = 14
  readonly cluster: SpireCluster
  readonly #endpoints: SpireEndpoint[] = []
  #isFederated = false

  private constructor(cluster: SpireCluster) {
    this.cluster = cluster
  }

  static async start(binaries: SpireBinaries): Promise<SpireWorld> {
    return new SpireWorld(
      await SpireCluster.start(binaries, {
        trustDomains: [ownDomain, partnerDomain],
        svidTtl: '1h',
      }),
    )
  }

  async openEndpoint(): Promise<SpireEndpoint> {
    const name = `sidecar-${this.#endpoints.length}`
    const endpoint = new SpireEndpoint(this.#own, name, await this.#own.startAgent(name))
    this.#endpoints.push(endpoint)
    return endpoint
  }

  mint(spiffeId: string): Promise<CallerIdentity> {
    return this.cluster.domain(new URL(spiffeId).host).mint({ spiffeId })
  }

  async prepareCa(trustDomain: string): Promise<void> {
    await this.cluster.domain(trustDomain).prepareCa()
  }

  async activateCa(trustDomain: string): Promise<void> {
    const domain = this.cluster.domain(trustDomain)
    await domain.activateCa(named(await domain.authorities(), 'prepared'))
  }

  async taintOldCa(trustDomain: string): Promise<void> {
    const domain = this.cluster.domain(trustDomain)
    await domain.taintCa(named(await domain.authorities(), 'old'))
  }

  async revokeOldCa(trustDomain: string): Promise<void> {
    const domain = this.cluster.domain(trustDomain)
    await domain.revokeCa(named(await domain.authorities(), 'old'))
  }

  async federate(endpoint: WorkloadEndpoint): Promise<void> {
    this.#isFederated = true
    await this.#own.setBundleOf(this.cluster.domain(partnerDomain))
    for (const known of this.#endpoints) if (known === endpoint) await known.federate()
  }

  async defederate(): Promise<void> {
    if (!this.#isFederated) return
    this.#isFederated = false
    await this.#own.deleteBundleOf(partnerDomain)
  }

  stopIssuing(): Promise<void> {
    return this.#own.stopServer()
  }

  startIssuing(): Promise<void> {
    return this.#own.startServer()
  }

  close(): Promise<void> {
    return this.cluster.close()
  }

  get #own(): SpireDomain {
    return this.cluster.domain(ownDomain)
  }
}

/** An agent with its entries. */
export class SpireEndpoint implements WorkloadEndpoint {
  readonly agent: SpireAgent
  readonly #domain: SpireDomain
  readonly #name: string
  readonly #entryIds = new Map<string, string>()

  constructor(domain: SpireDomain, name: string, agent: SpireAgent) {
    this.agent = agent
    this.#domain = domain
    this.#name = name
  }

  get address(): string {
    return this.agent.endpoint
  }

  async register(identity: RegisteredIdentity): Promise<void> {
    const id = await this.#domain.createEntry({ agent: this.#name, ...identity })
    this.#entryIds.set(identity.spiffeId, id)
  }

  async remove(spiffeId: string): Promise<void> {
    const id = this.#entryIds.get(spiffeId)
    if (id === undefined) throw new TypeError(`${spiffeId} is not registered`)
    this.#entryIds.delete(spiffeId)
    await this.#domain.deleteEntry(id)
  }

  /** The bundle must be known to the server. */
  async federate(): Promise<void> {
    for (const id of this.#entryIds.values()) {
      await this.#domain.updateEntry(id, { federatesWith: [partnerDomain] })
    }
  }

  killAgent(): Promise<void> {
    return this.agent.kill()
  }

  async evictAgent(): Promise<void> {
    await this.#domain.evictAgent(this.agent)
    await this.agent.exited()
  }

  attestAgent(): Promise<void> {
    this.agent.forget()
    return this.agent.start()
  }

  startAgent(): Promise<void> {
    return this.agent.start()
  }
}

function named(authorities: SpireAuthorities, state: 'prepared' | 'old'): string {
  const id = authorities[state]
  if (id === undefined) throw new Error(`the server has no ${state} X.509 authority`)
  return id
}
