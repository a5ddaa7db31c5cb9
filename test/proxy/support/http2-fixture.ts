import assert from 'node:assert/strict'
import { FakeClock } from '../../support/fake-clock.ts'
import { eventually } from './eventually.ts'
import { AnyProxy, type AnyProxyOptions } from './http2-any-proxy.ts'
import { RawPeer } from './http2-raw-peer.ts'
import { RawWorkload } from './raw-workload.ts'

/** Gives each test of the suite a proxy in front of a raw workload, and looks afterwards that nothing is left of it. */
export function useHttp2(): Http2Fixture {
  const fixture = new Http2Fixture()
  afterEach(() => fixture.stop())
  return fixture
}

export class Http2Fixture {
  readonly clock = new FakeClock()
  #proxy: AnyProxy | undefined
  #workload: RawWorkload | undefined
  #callers: RawPeer[] = []

  /** Callers and workload speak HTTP/2 unless told otherwise; time stands still. */
  async start(options: Partial<AnyProxyOptions> = {}): Promise<void> {
    this.#workload = await RawWorkload.start()
    this.#proxy = await AnyProxy.start({
      ...{ downstream: 'h2', upstream: 'h2c', upstreamPort: this.#workload.port },
      ...{ clock: this.clock, ...options },
    })
  }

  get proxy(): AnyProxy {
    return this.#proxy!
  }

  get workload(): RawWorkload {
    return this.#workload!
  }

  /** A caller with these SETTINGS. */
  async caller(...entries: number[]): Promise<RawPeer> {
    return this.#keep(await RawPeer.caller(this.proxy.port, ...entries))
  }

  async silentCaller(): Promise<RawPeer> {
    return this.#keep(await RawPeer.silentCaller(this.proxy.port))
  }

  /** The workload's end of its connection with this number, with these SETTINGS. */
  async upstream(index = 0, ...entries: number[]): Promise<RawPeer> {
    return await RawPeer.workload(this.workload, index, ...entries)
  }

  /** Looks at time until the connection to the caller is closed. */
  async passes(ms: number, holds: () => boolean): Promise<void> {
    await eventually(() => {
      this.clock.advance(ms)
      return holds()
    })
  }

  /** No exception was swallowed, and no connection, stream or request is left. */
  async stop(): Promise<void> {
    const [proxy, workload] = [this.#proxy, this.#workload]
    if (proxy === undefined || workload === undefined) return
    this.#proxy = undefined
    for (const caller of this.#callers) caller.raw.destroy()
    this.#callers = []
    try {
      await eventually(() => proxy.downstreams.size === 0)
      assert.equal(proxy.downstreamStreams, 0)
      assert.equal(proxy.open, 0)
      assert.deepEqual(proxy.bugs, [])
    } finally {
      await proxy.close()
      await workload.close()
    }
  }

  #keep(caller: RawPeer): RawPeer {
    this.#callers.push(caller)
    return caller
  }
}
