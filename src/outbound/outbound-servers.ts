import type { TrustState } from '../policy/trust-state.ts'
import type { ServerIdentity } from '../tls/context.ts'
import { clientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import { OutboundServer } from './outbound-server.ts'

/** How often the drain looks whether the last connection has ended. */
const drainPollMs = 20

/** All listeners for calls of the workload. */
export class OutboundServers {
  readonly #context: OutboundContext
  readonly #servers: readonly OutboundServer[]

  constructor(context: OutboundContext, routes: readonly OutboundRoute[]) {
    this.#context = context
    this.#servers = routes.map((route) => new OutboundServer(context, route))
  }

  /** Resolves when all ports are bound; throws `PosternError` ERR_LISTEN_FAILED. The caller closes it in either case. */
  async listen(): Promise<void> {
    for (const server of this.#servers) await server.listen()
  }

  /** In the order of the configuration. */
  get ports(): readonly number[] {
    return this.#servers.map((server) => server.port)
  }

  /** Open connections of the workload to each, in the order of the configuration. */
  get connectionsOfEach(): readonly number[] {
    return this.#servers.map((server) => server.connections)
  }

  get connections(): number {
    return this.#servers.reduce((sum, server) => sum + server.connections, 0)
  }

  /** Listeners that are not bound, by where their calls would go. */
  get unbound(): readonly string[] {
    return this.#servers
      .filter((server) => !server.isListening)
      .map((server) => server.route.expected.upstream)
  }

  /** New connections to peers present this SVID. Throws `PosternError` ERR_TLS_CONTEXT; the previous one is used on. */
  useIdentity(identity: ServerIdentity, notAfterMs: number): void {
    if (this.#servers.length === 0) return
    const client = clientIdentity(identity, notAfterMs)
    for (const server of this.#servers) server.useIdentity(client)
  }

  /** Our SVID has expired or was withdrawn: calls are answered `identity_unavailable` until the next `useIdentity`. */
  loseIdentity(): void {
    for (const server of this.#servers) server.loseIdentity()
  }

  /** The trust state changed: the peer of each connection is judged again. */
  rejudge(trust: TrustState): void {
    for (const server of this.#servers) server.rejudge(trust)
  }

  /** Takes no new connections and lets running calls finish; at `timeoutMs` the rest is cut. */
  async drain(timeoutMs: number): Promise<void> {
    const { clock } = this.#context
    const endMs = clock.monotonic() + timeoutMs
    for (const server of this.#servers) server.drain()
    while (this.connections > 0 && clock.monotonic() < endMs) {
      await new Promise<void>((resolve) => {
        clock.setTimer(drainPollMs, resolve, { keepAlive: true })
      })
    }
    this.close()
  }

  /** Cuts everything. Idempotent. */
  close(): void {
    for (const server of this.#servers) server.close()
  }
}
