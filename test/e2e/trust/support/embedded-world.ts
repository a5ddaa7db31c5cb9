import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, systemClock, type Timer } from '../../../../src/core/clock.ts'
import { silentLogger } from '../../../../src/core/logger.ts'
import { DevAgent } from '../../../../src/dev/dev-agent.ts'
import type { CallerIdentity } from '../../support/caller.ts'
import {
  ownDomain,
  partnerDomain,
  type RegisteredIdentity,
  type TrustWorld,
  type WorkloadEndpoint,
} from './trust-world.ts'

/** The embedded agent as a trust world: all endpoints are sockets of one agent, which goes down and comes back as a whole. */
export class EmbeddedWorld implements TrustWorld {
  readonly shortTtlSeconds = 8
  readonly #folder: string
  readonly #clock: StoppableClock
  readonly #agent: DevAgent
  #endpoints = 0

  private constructor(folder: string, clock: StoppableClock, agent: DevAgent) {
    this.#folder = folder
    this.#clock = clock
    this.#agent = agent
  }

  static async start(): Promise<EmbeddedWorld> {
    const clock = new StoppableClock()
    const agent = await DevAgent.start({
      clock,
      logger: silentLogger,
      trustDomains: [ownDomain, partnerDomain],
      federation: [],
      federatedBundles: 'copied',
    })
    return new EmbeddedWorld(await mkdtemp(join(tmpdir(), 'postern-trust-')), clock, agent)
  }

  async openEndpoint(): Promise<WorkloadEndpoint> {
    const socketPath = join(this.#folder, `agent-${this.#endpoints++}.sock`)
    return EmbeddedEndpoint.open(this.#agent, socketPath)
  }

  /** Default: valid for an hour. */
  mint(spiffeId: string, ttlSeconds = 3_600): Promise<CallerIdentity> {
    const ttlMs = ttlSeconds * 1_000
    return this.#agent.mint({ trustDomain: new URL(spiffeId).host, spiffeId, ttlMs })
  }

  prepareCa(trustDomain: string): Promise<void> {
    return this.#agent.prepareCa(trustDomain)
  }

  activateCa(trustDomain: string): Promise<void> {
    return this.#agent.activateCa(trustDomain)
  }

  /** The embedded agent issues everything again when a CA becomes active. */
  async taintOldCa(): Promise<void> {
    // Nothing is left to be done.
  }

  async revokeOldCa(trustDomain: string): Promise<void> {
    await this.#agent.withdrawOldCa(trustDomain)
  }

  federate(): Promise<void> {
    return this.#agent.federate(ownDomain, partnerDomain)
  }

  defederate(): Promise<void> {
    return this.#agent.defederate(ownDomain, partnerDomain)
  }

  async stopIssuing(): Promise<void> {
    this.#clock.stop()
  }

  async startIssuing(): Promise<void> {
    this.#clock.start()
  }

  async close(): Promise<void> {
    await this.#agent.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** A socket of the agent. */
class EmbeddedEndpoint implements WorkloadEndpoint {
  readonly address: string
  readonly #agent: DevAgent
  readonly #socketPath: string
  readonly #known = new Set<string>()

  private constructor(agent: DevAgent, socketPath: string) {
    this.address = `unix://${socketPath}`
    this.#agent = agent
    this.#socketPath = socketPath
  }

  /** A socket is opened for an identity; this one is taken back, so that the first answer is a denial. */
  static async open(agent: DevAgent, socketPath: string): Promise<EmbeddedEndpoint> {
    const spiffeId = `spiffe://${ownDomain}/nobody`
    await agent.listen({ socketPath, spiffeId })
    await agent.removeEntry(spiffeId)
    return new EmbeddedEndpoint(agent, socketPath)
  }

  async register({ spiffeId, hint = '', ttlSeconds = 3_600 }: RegisteredIdentity): Promise<void> {
    await this.#agent.setTtl(ttlSeconds * 1_000)
    const key = `${spiffeId} ${hint}`
    if (this.#known.has(key)) {
      await this.#agent.addEntry(spiffeId)
    } else {
      await this.#agent.listen({ socketPath: this.#socketPath, spiffeId, hint })
      this.#known.add(key)
    }
  }

  remove(spiffeId: string): Promise<void> {
    return this.#agent.removeEntry(spiffeId)
  }

  killAgent(): Promise<void> {
    return this.#agent.stopServing()
  }

  evictAgent(): Promise<void> {
    return this.#agent.stopServing()
  }

  async attestAgent(): Promise<void> {
    await this.#agent.renewNow()
    await this.#agent.startServing()
  }

  startAgent(): Promise<void> {
    return this.#agent.startServing()
  }
}

/** The real clock; while it is stopped its timers do not fire, and afterwards they are late. */
class StoppableClock implements Clock {
  #isStopped = false
  #late: (() => void)[] = []

  now(): number {
    return systemClock.now()
  }

  monotonic(): number {
    return systemClock.monotonic()
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    return systemClock.setTimer(delayMs, () => {
      if (this.#isStopped) this.#late.push(fire)
      else fire()
    })
  }

  stop(): void {
    this.#isStopped = true
  }

  start(): void {
    this.#isStopped = false
    for (const fire of this.#late.splice(0)) fire()
  }
}
