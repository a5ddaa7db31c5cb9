import assert from 'node:assert/strict'
import { CrlWatch } from '../../src/app/crl-watch.ts'
import { type Logger, silentLogger } from '../../src/core/logger.ts'
import { finish } from '../../src/core/steps.ts'
import { ProductMap } from '../../src/policy/product-map.ts'
import type { CrlValidity } from '../../src/telemetry/telemetry.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { authority } from '../policy/support/policy.ts'
import { FakeClock } from '../support/fake-clock.ts'
import type { RevocationListSpec } from '../support/revocation-list-writer.ts'
import { TestCa } from '../support/test-ca.ts'

const minuteMs = 60_000

describe('CrlWatch', () => {
  let ca: TestCa
  let clock: FakeClock
  let warnings: unknown[]
  let changes: number
  let told: readonly CrlValidity[]
  let watch: CrlWatch

  before(async () => {
    ca = await TestCa.root('partner-b')
  })

  beforeEach(() => {
    clock = new FakeClock()
    warnings = []
    changes = 0
    told = []
    const logger: Logger = {
      ...silentLogger,
      warn: (_message, fields) => warnings.push(fields?.['nextUpdate']),
    }
    watch = new CrlWatch({
      clock,
      logger,
      telemetry: { crls: (crls) => (told = crls) },
      onStandingChange: () => changes++,
    })
  })

  afterEach(() => watch.close())

  const listUntil = (nextUpdateMs: number | null, options: Partial<RevocationListSpec> = {}) => {
    const thisUpdateMs = Math.min(clock.now(), nextUpdateMs ?? Infinity) - minuteMs
    const der = ca.revocationList([], { thisUpdateMs, nextUpdateMs, ...options })
    return finish(RevocationList.read(der))
  }
  const mapOf = (required: boolean, ...lists: RevocationList[]) =>
    ProductMap.of([], [authority('b', { revocation: { required, lists } }), authority('none')])

  it('notices when a list ends: once, and with crlRequired so that callers are judged again', () => {
    for (const required of [false, true]) {
      changes = 0
      warnings = []
      watch.watch(mapOf(required, listUntil(clock.now() + minuteMs)))
      clock.advance(minuteMs)
      assert.deepEqual([warnings.length, changes], [0, 0])
      clock.advance(minuteMs)
      assert.deepEqual([warnings.length, changes], [1, required ? 1 : 0])
    }
  })

  it('notices when the clock jumps over the end and back', () => {
    watch.watch(mapOf(true, listUntil(clock.now() + minuteMs)))
    clock.jump(60 * minuteMs)
    clock.advance(1_000)
    assert.equal(changes, 1)
    clock.jump(-60 * minuteMs)
    clock.advance(1_000)
    assert.equal(changes, 2)
    clock.jump(-60 * minuteMs)
    clock.advance(1_000)
    assert.equal(changes, 3)
    assert.equal(warnings.length, 2)
  })

  it('warns at once of a list that is not current, and not again while it stays in force', () => {
    const ended = listUntil(clock.now() - minuteMs)
    watch.watch(mapOf(true, ended))
    watch.watch(mapOf(true, ended))
    clock.advance(minuteMs)
    assert.deepEqual(warnings, [new Date(ended.nextUpdateMs).toISOString()])
    assert.equal(changes, 0)
  })

  it('says nothing of a list that a newer one has replaced', () => {
    const old = listUntil(clock.now() - minuteMs)
    watch.watch(mapOf(true, old, listUntil(clock.now() + minuteMs)))
    assert.deepEqual(warnings, [])
  })

  it('tells when the first list of an authority ends', () => {
    const soonMs = clock.now() + minuteMs
    const leaves = { oid: '2.5.29.28', isCritical: true, value: Buffer.from('30038101ff', 'hex') }
    watch.watch(
      mapOf(false, listUntil(soonMs + 1_000), listUntil(soonMs, { extensions: [leaves] })),
    )
    assert.deepEqual(told, [{ authority: 'b', nextUpdateMs: soonMs }])
    watch.watch(mapOf(false))
    assert.deepEqual(told, [{ authority: 'b', nextUpdateMs: 0 }])
    watch.watch(mapOf(false, listUntil(null)))
    assert.deepEqual(told, [])
  })

  it('keeps no timer without lists, and none after it is closed', () => {
    watch.watch(ProductMap.of([], [authority('none')]))
    assert.equal(clock.nextTimerMs, undefined)
    watch.watch(mapOf(true, listUntil(clock.now() + minuteMs)))
    assert.notEqual(clock.nextTimerMs, undefined)
    watch.close()
    assert.equal(clock.nextTimerMs, undefined)
  })
})
