import assert from 'node:assert/strict'
import { FakeClock } from '../../support/fake-clock.ts'
import { eventually } from './eventually.ts'
import { PlainProxy, type PlainProxyOptions } from './plain-proxy.ts'
import { RawSocket } from './raw-socket.ts'
import { RawWorkload } from './raw-workload.ts'

/** A connection that is paused while it ends hears of nothing until its time is over. */
const lingerMs = 2_500

/** Gives each test of the suite a proxy in front of a raw workload, and looks afterwards that nothing is left of it. */
export function useProxy(): ProxyFixture {
  const fixture = new ProxyFixture()
  afterEach(() => fixture.stop())
  return fixture
}

export class ProxyFixture {
  #proxy: PlainProxy | undefined
  #workload: RawWorkload | undefined
  #callers: RawSocket[] = []
  #clock = new FakeClock()

  /** Time stands still for the proxy unless `clock` is moved: no deadline can stand in for what should have happened. */
  async start(
    options: Partial<PlainProxyOptions> & { readonly clock?: FakeClock } = {},
  ): Promise<void> {
    this.#clock = options.clock ?? new FakeClock()
    this.#workload = await RawWorkload.start()
    const upstreamPort = this.#workload.port
    this.#proxy = await PlainProxy.start({ upstreamPort, ...options, clock: this.#clock })
  }

  get proxy(): PlainProxy {
    return this.#proxy!
  }

  get workload(): RawWorkload {
    return this.#workload!
  }

  /** A new connection to the proxy. */
  async caller(): Promise<RawSocket> {
    const caller = await RawSocket.connect(this.proxy.port)
    this.#callers.push(caller)
    return caller
  }

  /** No exception was swallowed, no connection of a caller is left, and none to the workload that carries nothing. */
  async stop(): Promise<void> {
    const [proxy, workload] = [this.#proxy, this.#workload]
    if (proxy === undefined || workload === undefined) return
    for (const caller of this.#callers) caller.destroy()
    this.#callers = []
    try {
      await eventually(() => {
        this.#clock.advance(lingerMs)
        return proxy.downstreams.size === 0
      })
      await eventually(() => proxy.upstream.connections === proxy.upstream.idleConnections)
      assert.deepEqual(proxy.bugs, [])
    } finally {
      await proxy.close()
      await workload.close()
      this.#proxy = undefined
    }
  }
}
