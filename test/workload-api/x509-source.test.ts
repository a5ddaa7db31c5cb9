import assert from 'node:assert/strict'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { status } from '@grpc/grpc-js'
import type { LogFields } from '../../src/core/logger.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { parseWorkloadApiAddress } from '../../src/workload-api/address.ts'
import type { X509SVID, X509SVIDResponse } from '../../src/workload-api/generated/workload.ts'
import {
  type IdentitySnapshot,
  X509Source,
  type X509SourceOptions,
} from '../../src/workload-api/x509-source.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { eventually } from './support/eventually.ts'
import { FakeAgent, type FakeCall } from './support/fake-agent.ts'
import { RecordingObserver } from './support/recording-observer.ts'
import { temporaryFolder } from './support/temporary-folder.ts'
import { TestIssuer, response } from './support/test-issuer.ts'

const partnerId = 'spiffe://partner.example'

describe('X509Source', () => {
  const folder = temporaryFolder()
  const opened: { close(): Promise<unknown> }[] = []
  let corp: TestIssuer
  let partner: TestIssuer
  let billing: X509SVID
  let checkout: X509SVID
  let clock: FakeClock
  let observer: RecordingObserver

  before(async () => {
    corp = await TestIssuer.create('corp.example')
    partner = await TestIssuer.create('partner.example')
    billing = await corp.svid('billing')
    checkout = await corp.svid('checkout')
  })

  beforeEach(() => {
    clock = new FakeClock()
    observer = new RecordingObserver()
  })

  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.close()
  })

  function startSource(options: Partial<X509SourceOptions> = {}): X509Source {
    const source = X509Source.start({
      address: parseWorkloadApiAddress(`unix:${folder.path('a.sock')}`),
      clock,
      logger: silentLogger,
      observer,
      // The jitter at its most: delays are the ceilings 1 s, 2 s, 4 s ...
      random: () => 0,
      ...options,
    })
    opened.push(source)
    return source
  }

  async function startAgent(listen: string | number = folder.path('a.sock'), isServing = true) {
    const agent = await FakeAgent.start(listen, isServing)
    opened.push(agent)
    return agent
  }

  async function heard(event: string, times = 1): Promise<void> {
    await eventually(() => observer.count(event) >= times)
  }

  /** An agent, a source and its first call, which got the message. */
  async function serving(message: X509SVIDResponse, options: Partial<X509SourceOptions> = {}) {
    const agent = await startAgent()
    const source = startSource(options)
    const call = await agent.call(0)
    call.send(message)
    await heard('identity 1')
    return { agent, source, call }
  }

  /** Waits until the source sleeps, and says for how long. */
  async function backingOff(): Promise<number> {
    const isAsleep = () => clock.nextTimerMs !== undefined && clock.nextTimerMs !== 60_000
    await eventually(isAsleep)
    return clock.nextTimerMs ?? -1
  }

  function held(source: X509Source): IdentitySnapshot {
    const { snapshot } = source
    assert.ok(snapshot)
    return snapshot
  }

  const currentId = (source: X509Source) => held(source).svid.id.toString()
  const allIds = (source: X509Source) => held(source).svids.map(({ svid }) => svid.id.toString())

  describe('with an agent that behaves', () => {
    it('sends the security header and holds what it gets', async () => {
      const { source, call } = await serving(
        response([billing, checkout], { [partnerId]: partner.bundle }, [Buffer.from('crl')]),
      )
      assert.deepEqual(call.metadata.get('workload.spiffe.io'), ['true'])
      const snapshot = await source.firstIdentity()
      assert.equal(snapshot.svid.id.toString(), 'spiffe://corp.example/billing')
      assert.deepEqual(allIds(source), [billing.spiffeId, checkout.spiffeId])
      assert.deepEqual([...snapshot.bundles.keys()], ['corp.example', 'partner.example'])
      assert.deepEqual(snapshot.crls, [Buffer.from('crl')])
      assert.equal(snapshot.receivedAtMs, clock.now())
      assert.equal(snapshot.sequence, 1)
      assert.equal(source.state.kind, 'held')
      assert.equal(source.connected, true)
      assert.deepEqual(observer.events, ['connected', 'identity 1'])
      assert.equal(clock.nextTimerMs, undefined)
    })

    it('reaches it over TCP', async () => {
      const agent = await startAgent(0)
      const address = parseWorkloadApiAddress(`tcp://127.0.0.1:${agent.port}`)
      const source = startSource({ address })
      ;(await agent.call(0)).send(response([billing]))
      assert.equal((await source.firstIdentity()).svid.id.toString(), billing.spiffeId)
    })

    it('replaces the snapshot by a renewed SVID and leaves the old value as it was', async () => {
      const { source, call } = await serving(response([billing]))
      const before = await source.firstIdentity()
      const renewed = await corp.svid('billing')
      call.send(response([renewed]))
      await heard('identity 2')
      assert.equal(before.sequence, 1)
      assert.equal(held(source).sequence, 2)
      assert.notEqual(held(source).svid.leaf.sha256, before.svid.leaf.sha256)
      assert.ok(Object.isFrozen(before))
    })

    it('does not take an equal state for a change', async () => {
      const { source, call } = await serving(response([billing]))
      const before = source.snapshot
      call.send(response([billing]))
      await heard('unchanged')
      assert.equal(source.snapshot, before)
      assert.equal(observer.count('identity 2'), 0)
    })

    it('drops a federated bundle that is no longer there', async () => {
      const { source, call } = await serving(response([billing], { [partnerId]: partner.bundle }))
      assert.ok(held(source).bundles.has('partner.example'))
      call.send(response([billing]))
      await heard('identity 2')
      assert.equal(held(source).bundles.has('partner.example'), false)
      assert.ok(held(source).bundles.has('corp.example'))
    })

    it('takes in several messages that come at once in their order', async () => {
      const { source, call } = await serving(response([billing]))
      call.send(response([checkout]))
      call.send(response([]))
      call.send(response([checkout, billing]))
      await heard('identity 3')
      assert.deepEqual(observer.events.slice(2), [
        'identity 2',
        'rejected ERR_WORKLOAD_API_RESPONSE',
        'identity 3',
      ])
      assert.deepEqual(allIds(source), [checkout.spiffeId, billing.spiffeId])
    })

    it('goes on when its observer has a bug', async () => {
      const errors: LogFields[] = []
      const { source, call } = await serving(response([billing]), {
        logger: { ...silentLogger, error: (_message, fields) => errors.push(fields ?? {}) },
      })
      observer.onUnchanged = () => {
        throw new Error('bug')
      }
      call.send(response([billing]))
      call.send(response([checkout]))
      await heard('identity 2')
      assert.equal(currentId(source), checkout.spiffeId)
      assert.deepEqual(errors, [{ error: 'bug' }])
    })
  })

  describe('with a hint', () => {
    it('uses the first SVID that has it', async () => {
      const svids = [
        { ...billing, hint: 'external' },
        { ...checkout, hint: 'internal' },
        { ...(await corp.svid('third')), hint: 'internal' },
      ]
      const { source } = await serving(response(svids), { hint: 'internal' })
      assert.equal(currentId(source), checkout.spiffeId)
    })

    it('waits when none has it, on the same stream', async () => {
      const agent = await startAgent()
      const source = startSource({ hint: 'internal' })
      const call = await agent.call(0)
      call.send(response([billing]))
      await eventually(() => source.state.kind === 'waiting' && source.state.error !== undefined)
      assert.equal(source.snapshot, undefined)
      call.send(response([{ ...billing, hint: 'internal' }]))
      await source.firstIdentity()
      assert.equal(agent.calls.length, 1)
    })

    it('takes the identity for withdrawn when none has it any more, until one has it again', async () => {
      const hinted = response([checkout, { ...billing, hint: 'internal' }])
      const { source, call } = await serving(hinted, { hint: 'internal' })
      call.send(response([checkout, billing]))
      await heard('withdrawn ERR_IDENTITY_UNAVAILABLE')
      assert.equal(source.state.kind, 'withdrawn')
      assert.equal(source.snapshot, undefined)
      call.send(hinted)
      await heard('identity 2')
      assert.equal(currentId(source), billing.spiffeId)
    })
  })

  describe('keeps the last good state and the stream', () => {
    const garbage = Buffer.from('garbage')
    const bad: { name: string; message: () => X509SVIDResponse | Buffer }[] = [
      { name: 'bytes that are no message', message: () => Buffer.from([0x0a, 0xff]) },
      { name: 'no SVID', message: () => response([]) },
      { name: 'a garbage chain', message: () => response([{ ...billing, x509Svid: garbage }]) },
      {
        name: 'the key of another leaf',
        message: () => response([{ ...billing, x509SvidKey: checkout.x509SvidKey }]),
      },
      {
        name: 'another ID than announced',
        message: () => response([{ ...billing, spiffeId: checkout.spiffeId }]),
      },
      {
        name: 'an empty bundle',
        message: () => response([{ ...billing, bundle: Buffer.alloc(0) }]),
      },
      {
        name: 'a garbage federated bundle',
        message: () => response([billing], { [partnerId]: garbage }),
      },
    ]
    for (const { name, message } of bad) {
      it(`when a message holds ${name}`, async () => {
        const { agent, source, call } = await serving(response([billing]))
        const before = source.snapshot
        call.send(message())
        await heard('rejected ERR_WORKLOAD_API_RESPONSE')
        assert.equal(source.snapshot, before)
        assert.equal(source.state.kind, 'held')
        call.send(response([checkout]))
        await heard('identity 2')
        assert.equal(agent.calls.length, 1)
      })
    }

    it('and waits on when the very first message is bad', async () => {
      const agent = await startAgent()
      const source = startSource()
      const call = await agent.call(0)
      call.send(response([]))
      await heard('rejected ERR_WORKLOAD_API_RESPONSE')
      assert.equal(source.state.kind, 'waiting')
      call.send(response([billing]))
      await source.firstIdentity()
    })
  })

  describe('dials again at once and keeps what it holds', () => {
    const ends: { name: string; end: (call: FakeCall, agent: FakeAgent) => unknown }[] = [
      { name: 'the stream ends with OK', end: (call) => call.end() },
      ...[
        status.CANCELLED,
        status.UNAVAILABLE,
        status.UNKNOWN,
        status.INTERNAL,
        status.DEADLINE_EXCEEDED,
        status.RESOURCE_EXHAUSTED,
        status.UNAUTHENTICATED,
      ].map((code) => ({
        name: `the stream ends with ${status[code]}`,
        end: (call: FakeCall) => call.fail(code),
      })),
    ]
    for (const { name, end } of ends) {
      it(`when ${name}`, async () => {
        const { agent, source, call } = await serving(response([billing]))
        const before = source.snapshot
        end(call, agent)
        const next = await agent.call(1)
        assert.equal(source.snapshot, before)
        assert.deepEqual(observer.events.slice(2), ['disconnected'])
        assert.equal(source.connected, false)
        next.send(response([billing]))
        await heard('unchanged')
        assert.equal(source.connected, true)
      })
    }

    it('on a new connection, and leaves none of the old ones open', async () => {
      const { agent, call } = await serving(response([billing]))
      call.end()
      await agent.call(1)
      await eventually(() => agent.connectionCount === 1)
    })

    it('when the message before the end is still on its way', async () => {
      const { agent, source, call } = await serving(response([billing]))
      call.send(response([checkout]))
      call.fail(status.UNAVAILABLE)
      await agent.call(1)
      assert.equal(currentId(source), checkout.spiffeId)
    })

    it('when the agent shuts down, and again until another one is there', async () => {
      const { agent, source } = await serving(response([billing]))
      await agent.close()
      assert.equal(await backingOff(), 1_000)
      assert.equal(source.state.kind, 'held')
      const successor = await startAgent()
      clock.advance(1_000)
      ;(await successor.call(0)).send(response([checkout]))
      await heard('identity 2')
    })

    it('when the agent is killed, and again until another one is there', async () => {
      const { agent, source } = await serving(response([billing]))
      await agent.kill()
      assert.equal(await backingOff(), 1_000)
      assert.equal(source.snapshot?.sequence, 1)
      const successor = await startAgent()
      clock.advance(1_000)
      ;(await successor.call(0)).send(response([checkout]))
      await heard('identity 2')
    })

    it('when a message is larger than allowed', async () => {
      const { agent, source, call } = await serving(response([billing]), {
        maxMessageBytes: 64 * 1024,
      })
      call.send(response([billing], {}, [Buffer.alloc(62 * 1024)]))
      await heard('identity 2')
      call.send(response([billing], {}, [Buffer.alloc(64 * 1024)]))
      await agent.call(1)
      assert.deepEqual(observer.events.slice(3), ['disconnected'])
      assert.equal(source.snapshot?.crls[0]?.length, 62 * 1024)
    })
  })

  describe('bounds a message to 4 MiB', () => {
    const sizes = [
      { name: 'takes one below', bytes: 4 * 1024 * 1024 - 4_096, isTaken: true },
      { name: 'refuses one above', bytes: 4 * 1024 * 1024 + 1, isTaken: false },
    ]
    for (const { name, bytes, isTaken } of sizes) {
      it(name, async () => {
        const { agent, call } = await serving(response([billing]))
        call.send(response([billing], {}, [Buffer.alloc(bytes)]))
        if (isTaken) await heard('identity 2')
        else await agent.call(1)
        assert.equal(observer.count('identity 2'), isTaken ? 1 : 0)
      })
    }
  })

  describe('backs off', () => {
    it('not at all, then 1 s, 2 s, 4 s, 8 s, 16 s, 30 s, 30 s while there is no socket', async () => {
      startSource()
      const delays: number[] = []
      for (let i = 0; i < 7; i++) {
        delays.push(await backingOff())
        clock.advance(delays.at(-1)!)
      }
      assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
    })

    it('between zero and the ceiling, as the jitter has it', async () => {
      startSource({ random: () => 0.75 })
      assert.equal(await backingOff(), 250)
    })

    it('from the start after a valid message, and not after a bad one', async () => {
      const source = startSource()
      clock.advance(await backingOff())
      clock.advance(await backingOff())
      assert.equal(await backingOff(), 4_000)
      const agent = await startAgent()
      clock.advance(4_000)
      const bad = await agent.call(0)
      bad.send(response([]))
      await heard('rejected ERR_WORKLOAD_API_RESPONSE')
      bad.end()
      assert.equal(await backingOff(), 8_000)
      clock.advance(8_000)
      const good = await agent.call(1)
      good.send(response([billing]))
      await source.firstIdentity()
      good.end()
      await agent.call(2)
    })

    it('when an agent ends every stream right after its message', async () => {
      const { agent, call } = await serving(response([billing]))
      call.end()
      const second = await agent.call(1)
      second.send(response([billing]))
      await heard('unchanged')
      second.end()
      assert.equal(await backingOff(), 1_000)
    })

    it('when there is no socket, and follows the one that appears', async () => {
      const source = startSource()
      await backingOff()
      assert.deepEqual(observer.events, [])
      const state = source.state
      assert.ok(state.kind === 'waiting' && state.error?.code === 'ERR_WORKLOAD_API_UNAVAILABLE')
      const agent = await startAgent()
      clock.advance(1_000)
      ;(await agent.call(0)).send(response([billing]))
      await source.firstIdentity()
    })

    for (const name of ['a regular file', 'a directory']) {
      it(`when ${name} is where the socket should be, and follows the one that replaces it`, async () => {
        if (name === 'a directory') mkdirSync(folder.path('a.sock'))
        else writeFileSync(folder.path('a.sock'), '')
        const source = startSource()
        assert.equal(await backingOff(), 1_000)
        assert.equal(source.state.kind, 'waiting')
        renameSync(folder.path('a.sock'), folder.path('away'))
        const agent = await startAgent()
        clock.advance(1_000)
        ;(await agent.call(0)).send(response([billing]))
        await source.firstIdentity()
      })
    }
  })

  it('stays with its stream when the socket is replaced in place, and dials the new one after it', async () => {
    const { agent, call } = await serving(response([billing]))
    const successor = await startAgent(folder.path('b.sock'))
    renameSync(folder.path('b.sock'), folder.path('a.sock'))
    call.send(response([billing]))
    await heard('unchanged')
    call.end()
    ;(await successor.call(0)).send(response([checkout]))
    await heard('identity 2')
    assert.equal(agent.calls.length, 1)
  })

  describe('with PERMISSION_DENIED', () => {
    it('waits for an identity that is not issued yet, and says why', async () => {
      const agent = await startAgent()
      const source = startSource()
      ;(await agent.call(0)).fail(status.PERMISSION_DENIED, 'no identity issued')
      const second = await agent.call(1)
      const { state } = source
      assert.ok(state.kind === 'waiting' && state.error?.code === 'ERR_WORKLOAD_API_DENIED')
      second.fail(status.PERMISSION_DENIED)
      assert.equal(await backingOff(), 1_000)
      clock.advance(1_000)
      ;(await agent.call(2)).send(response([billing]))
      await source.firstIdentity()
      assert.deepEqual(observer.events, ['connected', 'identity 1'])
    })

    it('stops using the identity that it held, at once, and takes it back when it is issued again', async () => {
      const { agent, source, call } = await serving(response([billing]))
      call.fail(status.PERMISSION_DENIED)
      await heard('withdrawn ERR_WORKLOAD_API_DENIED')
      assert.equal(source.state.kind, 'withdrawn')
      assert.equal(source.snapshot, undefined)
      ;(await agent.call(1)).fail(status.PERMISSION_DENIED)
      assert.equal(await backingOff(), 1_000)
      assert.equal(observer.count('withdrawn ERR_WORKLOAD_API_DENIED'), 1)
      clock.advance(1_000)
      ;(await agent.call(2)).send(response([billing]))
      await heard('identity 2')
      assert.equal(source.state.kind, 'held')
    })

    it('stays withdrawn while the agent is away', async () => {
      const { agent, source, call } = await serving(response([billing]))
      call.fail(status.PERMISSION_DENIED)
      await heard('withdrawn ERR_WORKLOAD_API_DENIED')
      await agent.kill()
      await backingOff()
      assert.equal(source.state.kind, 'withdrawn')
    })
  })

  for (const code of [status.INVALID_ARGUMENT, status.UNIMPLEMENTED]) {
    describe(`with ${status[code]}`, () => {
      it('makes no further attempt and refuses those who wait', async () => {
        const agent = await startAgent()
        const source = startSource()
        const identity = assert.rejects(source.firstIdentity(), { code: 'ERR_WORKLOAD_API_ENDED' })
        ;(await agent.call(0)).fail(code)
        await identity
        assert.equal(source.state.kind, 'ended')
        assert.deepEqual(observer.events, ['ended ERR_WORKLOAD_API_ENDED'])
        assert.equal(clock.nextTimerMs, undefined)
        await assert.rejects(source.firstIdentity(), { code: 'ERR_WORKLOAD_API_ENDED' })
      })

      it('keeps the identity that it held, for nobody took it back', async () => {
        const { source, call } = await serving(response([billing]))
        call.fail(code)
        await heard('ended ERR_WORKLOAD_API_ENDED')
        assert.equal(currentId(source), billing.spiffeId)
        assert.equal((await source.firstIdentity()).sequence, 1)
        assert.equal(clock.nextTimerMs, undefined)
      })
    })
  }

  it('ends with a server that has no such method', async () => {
    await startAgent(folder.path('a.sock'), false)
    const source = startSource()
    await heard('ended ERR_WORKLOAD_API_ENDED')
    assert.equal(source.state.kind, 'ended')
  })

  describe('with an agent that answers nothing', () => {
    it('hangs up after the timeout, dials again at once, then backs off', async () => {
      const agent = await startAgent()
      startSource()
      const silent = await agent.call(0)
      clock.advance(59_999)
      assert.equal(agent.calls.length, 1)
      clock.advance(1)
      await agent.call(1)
      await eventually(() => silent.isCancelled)
      clock.advance(60_000)
      assert.equal(await backingOff(), 1_000)
    })

    it('waits as long as it was told to', async () => {
      const agent = await startAgent()
      startSource({ firstMessageTimeoutMs: 5_000 })
      await agent.call(0)
      assert.equal(clock.nextTimerMs, 5_000)
    })

    it('lets a stream be silent for as long as it likes after its first message', async () => {
      const { agent, source, call } = await serving(response([billing]))
      clock.advance(86_400_000)
      call.send(response([checkout]))
      await heard('identity 2')
      assert.equal(agent.calls.length, 1)
      assert.equal(source.connected, true)
    })
  })

  describe('firstIdentity', () => {
    it('rejects with the reason of the signal, also when it had aborted before', async () => {
      const agent = await startAgent()
      const source = startSource()
      const abort = new AbortController()
      const waiting = assert.rejects(source.firstIdentity(abort.signal), { message: 'enough' })
      await agent.call(0)
      abort.abort(new Error('enough'))
      await waiting
      await assert.rejects(source.firstIdentity(AbortSignal.abort(new Error('enough'))), {
        message: 'enough',
      })
    })

    it('rejects when the source is closed', async () => {
      const source = startSource()
      const waiting = assert.rejects(source.firstIdentity(), { code: 'ERR_IDENTITY_UNAVAILABLE' })
      await source.close()
      await waiting
    })
  })

  describe('close', () => {
    it('hangs up, forgets the identity and leaves no timer', async () => {
      const { agent, source, call } = await serving(response([billing]))
      await source.close()
      await eventually(() => call.isCancelled)
      assert.equal(source.state.kind, 'closed')
      assert.equal(source.snapshot, undefined)
      assert.equal(clock.nextTimerMs, undefined)
      assert.equal(agent.calls.length, 1)
      assert.deepEqual(observer.events.slice(2), ['disconnected'])
    })

    it('ends a wait between attempts, and may be called twice', async () => {
      const source = startSource()
      await backingOff()
      await source.close()
      await source.close()
      assert.equal(clock.nextTimerMs, undefined)
    })

    it('ends an attempt that has no answer yet', async () => {
      const agent = await startAgent()
      const source = startSource()
      await agent.call(0)
      await source.close()
      assert.equal(clock.nextTimerMs, undefined)
    })
  })
})
