import type { ServerResponse } from 'node:http'
import { createApiKey } from '../../../../src/policy/api-key.ts'
import { PosternProcess } from '../../../support/postern-process.ts'
import { Workload } from '../../../support/workload.ts'
import {
  Caller,
  type CallerConnection,
  type CallerIdentity,
  httpVersions,
} from '../../support/caller.ts'
import { checkoutId, partnerDomain, type WorkloadEndpoint } from './trust-world.ts'

/** What the metrics say about trust. */
export interface TrustMetrics {
  readonly epoch: number
  /** Of our own SVID; 0: there is none. */
  readonly svidNotAfterSeconds: number
  readonly isConnected: boolean
  readonly updates: { readonly accepted: number; readonly rejected: number }
  readonly reevaluated: { readonly kept: number; readonly ended: number }
  /** Handshakes that were refused because we had no identity. */
  readonly refused: number
}

/** What a caller with an API key sends. */
export type KeyHeaders = Readonly<Record<string, string>>

export interface GuardedWorkloadOptions {
  /** `identity.hint`. */
  readonly hint?: string
  /** Default `ready`. */
  readonly until?: 'listening' | 'ready'
  /** Of the built program. */
  readonly env?: Readonly<Record<string, string>>
}

/** Replies of the workload that have begun. */
export interface RunningReplies {
  /** Lets the workload send the rest; resolves with the bodies as the caller got them. */
  finish(): Promise<string[]>
}

const heldPath = '/held'
/** After an outage the sidecar knocks every 30 s, and an agent of SPIRE at its server no more often. */
const patienceMs = 60_000

/** The built program beside a workload, with the endpoint of a trust world in the place of its agent. */
export class GuardedWorkload implements AsyncDisposable {
  readonly postern: PosternProcess
  readonly workload: Workload
  readonly #keyHeaders: KeyHeaders

  private constructor(postern: PosternProcess, workload: Workload, keyHeaders: KeyHeaders) {
    this.postern = postern
    this.workload = workload
    this.#keyHeaders = keyHeaders
  }

  static async start(
    endpoint: Pick<WorkloadEndpoint, 'address'>,
    options: GuardedWorkloadOptions = {},
  ): Promise<GuardedWorkload> {
    const workload = await Workload.start()
    const { key, id, sha256 } = createApiKey((size) => crypto.getRandomValues(new Uint8Array(size)))
    try {
      const postern = await PosternProcess.start({
        files: {
          'postern.yaml': configuration(endpoint, workload, options),
          'products.yaml': { version: 1, products },
          'api-keys.yaml': { version: 1, keys: [{ id, sha256, ...keyTerms }] },
        },
        until: options.until ?? 'ready',
        ...(options.env === undefined ? {} : { env: options.env }),
      })
      return new GuardedWorkload(postern, workload, { 'x-api-key': key })
    } catch (error) {
      await workload.close()
      throw error
    }
  }

  /** A caller with this certificate; without one, with an API key. */
  caller(identity?: CallerIdentity): Caller {
    const credential = identity === undefined ? { headers: this.#keyHeaders } : { identity }
    return new Caller({ port: this.postern.port, ...credential })
  }

  /** Connections that live: one of each HTTP version, each with a request that was allowed. */
  async openLive(identity?: CallerIdentity): Promise<LiveCallers> {
    const caller = this.caller(identity)
    const live = new LiveCallers(
      await Promise.all(httpVersions.map((version) => caller.open(version))),
    )
    const statuses = await live.call()
    if (statuses.some((status) => status !== 200)) throw new Error(`denied: ${statuses.join()}`)
    return live
  }

  async metrics(): Promise<TrustMetrics> {
    const { postern } = this
    const updates = 'postern_identity_updates_total'
    const reevaluated = 'postern_connections_reevaluated_total'
    return {
      epoch: await postern.metric('postern_epoch'),
      svidNotAfterSeconds: await postern.metric('postern_svid_not_after_seconds'),
      isConnected: (await postern.metric('postern_workload_api_connected')) === 1,
      updates: {
        accepted: await postern.metric(updates, { result: 'accepted' }),
        rejected: await postern.metric(updates, { result: 'rejected' }),
      },
      reevaluated: {
        kept: await postern.metric(reevaluated, { result: 'kept' }),
        ended: await postern.metric(reevaluated, { result: 'ended' }),
      },
      refused: await postern.metric('postern_handshakes_total', { result: 'identity_unavailable' }),
    }
  }

  /** Resolves with the metrics as soon as they are as wanted. */
  async untilMetrics(
    what: string,
    isWanted: (metrics: TrustMetrics) => boolean,
  ): Promise<TrustMetrics> {
    let metrics = await this.metrics()
    const isThere = async () => isWanted((metrics = await this.metrics()))
    await this.postern.until(what, isThere, patienceMs)
    return metrics
  }

  /** Resolves when `/readyz` names exactly this as missing; nothing: ready. */
  async untilMissing(...wanted: readonly string[]): Promise<void> {
    const isThere = async () => {
      const { status, missing } = await this.postern.ready()
      return missing.join() === wanted.join() && (status === 200) === (wanted.length === 0)
    }
    await this.postern.until(`missing: ${wanted.join()}`, isThere, patienceMs)
  }

  /** A request on each of these connections whose reply stops half-way. */
  async beginReplies(live: LiveCallers): Promise<RunningReplies> {
    const held: ServerResponse[] = []
    this.workload.answerWith((request, response) => {
      if (request.url !== heldPath) {
        response.end()
        return
      }
      response.write('first half, ')
      held.push(response)
    })
    const whole = live.readAll(heldPath)
    await this.postern.until('the replies have begun', () => held.length === live.size)
    return {
      finish: () => {
        for (const response of held) response.end('second half')
        return whole
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.postern.stop()
    await this.workload.close()
  }
}

/** Connections of one caller that were allowed and live on. */
export class LiveCallers {
  readonly #connections: readonly CallerConnection[]

  constructor(connections: readonly CallerConnection[]) {
    this.#connections = connections
  }

  /** One request on each; the statuses. A connection that has ended rejects. */
  async call(): Promise<number[]> {
    const replies = await Promise.all(this.#connections.map((connection) => connection.call()))
    return replies.map((reply) => reply.status)
  }

  /** One request for this path on each; the bodies, when they are whole. */
  async readAll(path: string): Promise<string[]> {
    const calls = this.#connections.map((connection) => connection.call({ path }))
    return (await Promise.all(calls)).map((reply) => reply.text)
  }

  /** Resolves when the sidecar has ended all of them. */
  async ended(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.ended))
  }

  get isEnded(): readonly boolean[] {
    return this.#connections.map((connection) => connection.isEnded)
  }

  get size(): number {
    return this.#connections.length
  }

  close(): void {
    for (const connection of this.#connections) connection.close()
  }
}

const keyTerms = { product: 'reports', consumer: 'acme' }

const products = {
  checkout: { callers: [{ spiffeId: checkoutId }] },
  payments: { callers: [{ trustDomain: partnerDomain }] },
  reports: { apiKeys: 'accept' },
}

function configuration(
  endpoint: Pick<WorkloadEndpoint, 'address'>,
  workload: Workload,
  { hint }: GuardedWorkloadOptions,
): object {
  return {
    identity: { workloadApi: endpoint.address, ...(hint === undefined ? {} : { hint }) },
    inbound: { listen: '127.0.0.1:0', upstream: workload.address },
    apiKeys: 'api-keys.yaml',
    health: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
  }
}
