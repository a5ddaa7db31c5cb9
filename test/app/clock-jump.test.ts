import assert from 'node:assert/strict'
import { Sidecar } from '../../src/app/sidecar.ts'
import { parseAddress } from '../../src/config/address.ts'
import { parseSidecarConfig } from '../../src/config/sidecar-config.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { finish } from '../../src/core/steps.ts'
import { ApiKeys } from '../../src/policy/api-keys.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import { X509Svid } from '../../src/spiffe/x509-svid.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { Caller, httpVersions, identityOf } from '../e2e/support/caller.ts'
import { authority, product } from '../policy/support/policy.ts'
import { RecordingTelemetry } from '../support/recording-telemetry.ts'
import { TestCa } from '../support/test-ca.ts'
import { Workload } from '../support/workload.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** The whole sidecar on real sockets; only the wall clock is the test's, and timers are in a hurry. */
describe('a clock that jumps an hour', () => {
  let shiftMs: number
  let corp: TestCa
  let partner: TestCa
  let workload: Workload
  let sidecar: Sidecar

  const clock: Clock = {
    now: () => Date.now() + shiftMs,
    monotonic: () => systemClock.monotonic(),
    setTimer: (delayMs, fire, options) =>
      systemClock.setTimer(Math.min(delayMs, delayMs > 1_000 ? delayMs : 20), fire, options),
  }
  const dates = () => ({
    notBeforeMs: Math.floor(Date.now() / 1_000) * 1_000 - 30 * minuteMs,
    notAfterMs: Math.floor(Date.now() / 1_000) * 1_000 + 30 * minuteMs,
  })

  before(async () => {
    const longLived = {
      notBeforeMs: Date.now() - 24 * hourMs,
      notAfterMs: Date.now() + 24 * hourMs,
    }
    corp = await TestCa.root('corp', longLived)
    partner = await TestCa.root('partner-b', longLived)
    workload = await Workload.start()
  })

  after(() => workload.close())

  beforeEach(async () => {
    shiftMs = 0
    const { notBeforeMs, notAfterMs } = dates()
    const options = { thisUpdateMs: notBeforeMs, nextUpdateMs: notAfterMs }
    const list = finish(RevocationList.read(partner.revocationList([], options)))
    const callers = ['spiffeId: spiffe://corp.example/**', 'authority: partner-b']
    const revocation = { lists: [list], required: true }
    const anchors = [partner.certificate]
    sidecar = await Sidecar.start({
      config: parseSidecarConfig(
        `identity: { workloadApi: 'unix:///nowhere/agent.sock' }
inbound: { listen: '127.0.0.1:0', upstream: '${workload.address}' }
health: { listen: '127.0.0.1:0' }
`,
        'postern.yaml',
        {},
      ),
      files: {
        products: ProductMap.of(
          [product('p', { callers })],
          [authority('partner-b', { anchors, revocation })],
        ),
        apiKeys: ApiKeys.empty,
      },
      parseAddress,
      clock,
      logger: silentLogger,
      telemetry: new RecordingTelemetry(),
    })
    sidecar.holdIdentity(
      await svidOf('spiffe://corp.example/sidecar', hourMs),
      new Map([['corp.example', corp.bundle('corp.example')]]),
    )
  })

  afterEach(() => sidecar.close())

  /** An SVID of ours that began half an hour ago. */
  async function svidOf(spiffeId: string, lifeMs: number): Promise<X509Svid> {
    const { notBeforeMs } = dates()
    const leaf = await corp.leaf({ spiffeId, notBeforeMs, notAfterMs: notBeforeMs + lifeMs })
    return X509Svid.parse({ certificates: leaf.der, privateKeyDer: leaf.keyDer })
  }

  async function callerOf(ca: TestCa, more: object = {}): Promise<Caller> {
    const leaf = await ca.leaf({ ...dates(), ...more })
    return new Caller({ port: sidecar.ports.inbound, identity: identityOf(leaf) })
  }
  const workloadCaller = () => callerOf(corp, { spiffeId: 'spiffe://corp.example/web' })
  const reasonOf = async (caller: Caller) => {
    const { status, json } = await caller.call()
    return status === 200 ? 'allowed' : json.reason
  }
  const openLive = (caller: Caller) =>
    Promise.all(
      httpVersions.map(async (version) => {
        const connection = await caller.open(version)
        assert.equal((await connection.call()).status, 200)
        return connection
      }),
    )

  async function until(what: string, isSo: () => boolean): Promise<void> {
    const endMs = performance.now() + 15_000
    while (!isSo()) {
      assert.ok(performance.now() < endMs, `never: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  it('forward ends whoever has expired by then, us too, and back serves all of them again', async () => {
    const caller = await workloadCaller()
    const live = await openLive(caller)
    shiftMs = hourMs
    await until('our identity has expired', () => sidecar.missing().includes('identity'))
    await Promise.all(live.map((connection) => connection.ended))
    await assert.rejects(caller.call())

    shiftMs = 0
    await until('we serve again', () => sidecar.missing().length === 0)
    assert.equal(await reasonOf(caller), 'allowed')
  })

  it('forward admits no expired caller while our own SVID lives on', async () => {
    const caller = await workloadCaller()
    assert.equal(await reasonOf(caller), 'allowed')
    const { bundles } = sidecar.trust
    sidecar.holdIdentity(await svidOf('spiffe://corp.example/sidecar', 12 * hourMs), bundles)
    shiftMs = hourMs
    assert.equal(await reasonOf(caller), 'certificate_expired')
    shiftMs = 0
    assert.equal(await reasonOf(caller), 'allowed')
  })

  it('back admits nobody before the time, costs us nothing, and serves all of them afterwards', async () => {
    const caller = await workloadCaller()
    const [http1] = await openLive(caller)
    shiftMs = -hourMs
    // It may have been judged again by now, because the list of partner-b is out of its time too.
    const answer = await http1?.call().then(
      ({ json }) => json.reason,
      () => 'ended',
    )
    assert.ok(answer === 'certificate_not_yet_valid' || answer === 'ended', String(answer))
    assert.equal(await reasonOf(caller), 'certificate_not_yet_valid')
    assert.deepEqual(sidecar.missing(), [])
    shiftMs = 0
    assert.equal(await reasonOf(caller), 'allowed')
  })

  it('takes a revocation list that is required out of its time, and back into it', async () => {
    const caller = await callerOf(partner, {
      notAfterMs: Date.now() + 6 * hourMs,
      notBeforeMs: Date.now() - 6 * hourMs,
    })
    const { bundles } = sidecar.trust
    sidecar.holdIdentity(await svidOf('spiffe://corp.example/sidecar', 12 * hourMs), bundles)
    for (const jumpMs of [hourMs, -hourMs]) {
      const live = await openLive(caller)
      shiftMs = jumpMs
      await Promise.all(live.map((connection) => connection.ended))
      assert.equal(await reasonOf(caller), 'revocation_unknown')
      const { epoch } = sidecar.trust
      shiftMs = 0
      await until('the list counts again', () => sidecar.trust.epoch > epoch)
      assert.equal(await reasonOf(caller), 'allowed')
    }
  })
})
