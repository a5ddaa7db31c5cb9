import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ReplaySummary } from '../../src/policy/replay-report.ts'
import { SpiffeId } from '../../src/spiffe/spiffe-id.ts'
import { AuditLines } from '../../src/telemetry/audit-line.ts'
import type { DecisionRecord } from '../../src/telemetry/telemetry.ts'
import { FakeTerminal } from '../support/fake-terminal.ts'
import {
  allow,
  deny,
  outbound,
  outcomeOf,
  recordOf,
  recordWithoutRequest,
  svidPeer,
  type SvidPeer,
} from '../telemetry/support/records.ts'

const oldMap = `version: 1
products:
  payments:
    callers: [{ spiffeId: spiffe://corp.example/checkout }]
  reports:
    callers: [{ spiffeId: spiffe://corp.example/batch/* }]
    apiKeys: accept
`

describe('postern replay', () => {
  let directory: string
  let peer: SvidPeer

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'postern-replay-'))
    peer = await svidPeer()
    await writeFile(join(directory, 'products.yaml'), oldMap)
  })

  after(() => rm(directory, { recursive: true }))

  /** Runs it on these lines with this map; the exit code is the one that the process would have. */
  async function replay(
    lines: readonly string[],
    options: { products?: string; keys?: string; args?: readonly string[]; stdin?: boolean } = {},
  ): Promise<{ code: number; out: string }> {
    const { products = oldMap, keys, args = [], stdin = false } = options
    const terminal = new FakeTerminal()
    await writeFile(join(directory, 'audit.jsonl'), lines.join(''))
    await writeFile(join(directory, 'products.yaml'), products)
    if (keys !== undefined) await writeFile(join(directory, 'api-keys.yaml'), keys)
    if (stdin) terminal.stdin.end(lines.join(''))
    const { createProgram } = await import('../../src/bin/program.ts')
    const { exitCodeOf } = await import('../../src/bin/exit-codes.ts')
    const audit = stdin ? '-' : join(directory, 'audit.jsonl')
    const asked = ['replay', '--audit', audit, '--products', join(directory, 'products.yaml')]
    const keyArgs = keys === undefined ? [] : ['--api-keys', join(directory, 'api-keys.yaml')]
    const code = await createProgram(terminal)
      .parseAsync([...asked, ...keyArgs, ...args], { from: 'user' })
      .then(() => terminal.exitCode, exitCodeOf)
    return { code, out: terminal.takeOutput() }
  }

  async function summaryOf(...args: Parameters<typeof replay>): Promise<ReplaySummary> {
    const [lines, options = {}] = args
    const { out } = await replay(lines, { ...options, args: ['-o', 'json'] })
    return JSON.parse(out) as ReplaySummary
  }

  function line(parts: Partial<DecisionRecord>): string {
    return new AuditLines().render('0'.repeat(31) + '1', recordOf(parts), outcomeOf())
  }

  /** A call of a workload that was allowed. */
  function svidCall(path: string, product: string, request?: DecisionRecord['request']): string {
    const id = `spiffe://corp.example${path}`
    return line({
      peer: { ...peer, id: SpiffeId.parse(id) },
      decision: allow({ product, principal: id }),
      ...(request === undefined ? {} : { request }),
    })
  }

  const keyCall = line({
    decision: allow({
      reason: 'api_key',
      product: 'reports',
      principal: 'acme',
      consumer: 'acme',
      credential: 'api-key',
      apiKeyId: 'k_1',
    }),
  })
  const noKeyCall = line({ decision: deny({ reason: 'credential_missing', status: 401 }) })

  it('finds no change with the map that decided, and ends with 0', async () => {
    const lines = [svidCall('/checkout', 'payments'), keyCall, noKeyCall]
    const { code, out } = await replay(lines)
    assert.equal(code, 0)
    assert.match(out, /^3 calls decided again with .*products\.yaml and each key as it was\n/)
    assert.match(out, /allow became deny +0\n/)
    assert.match(out, /unchanged +3\n$/)
  })

  it('keeps the answer of a sidecar that held no identity', async () => {
    const held = svidCall('/checkout', 'payments')
    const principal = 'spiffe://corp.example/checkout'
    const none = line({
      peer: { ...peer, id: SpiffeId.parse(principal) },
      decision: deny({ reason: 'identity_unavailable', status: 503 }),
    })
    const { replayed, unchanged, changed } = await summaryOf([held, none])
    assert.deepEqual([replayed, unchanged, changed.deny_to_allow], [2, 2, 0])
  })

  it('passes over a line without end, and reads the next', async () => {
    const endless = 'x'.repeat(3 * 1024 * 1024)
    const { replayed, skipped } = await summaryOf([`${endless}\n`, keyCall, endless])
    assert.deepEqual([replayed, skipped.unreadable], [1, 2])
  })

  it('ends with 2 when an allow becomes a deny, and says for whom, from what to what and why', async () => {
    const lines = [
      ...Array.from({ length: 3 }, () => svidCall('/checkout', 'payments')),
      svidCall('/batch/7', 'reports'),
    ]
    const { code, out } = await replay(lines, {
      products: oldMap.replace('/checkout', '/till'),
    })
    assert.equal(code, 2)
    assert.match(out, /allow became deny +3\n/)
    assert.match(
      out,
      /allow svid_id \(product payments\) {2}-> {2}deny product_unmapped: 3 calls\n/,
    )
    assert.match(out, / {2}spiffe:\/\/corp\.example\/checkout {2}3 calls\n/)
    assert.match(out, /d_1y2p0ij32e8e7_2s GET api\.example:8443\/v1\/payments\/17: no caller entry/)
  })

  it('ends with 2 when a deny becomes an allow', async () => {
    const id = SpiffeId.parse('spiffe://corp.example/stranger')
    const stranger = line({ peer: { ...peer, id }, decision: deny() })
    const products = oldMap.replace('/checkout', '/stranger')
    assert.equal((await replay([stranger])).code, 0)
    const { code, out } = await replay([stranger], { products })
    assert.equal(code, 2)
    assert.match(out, /deny product_unmapped {2}-> {2}allow svid_id \(product payments\): 1 call\n/)
  })

  it('ends with 0 when only the product or the reason of an answer changes, and shows it', async () => {
    const products = `${oldMap.replace('spiffe://corp.example/checkout', 'spiffe://corp.example/none')}
  tills:
    callers: [{ trustDomain: corp.example }]
`
    const summary = await summaryOf([svidCall('/checkout', 'payments')], { products })
    assert.deepEqual(summary.changed, { allow_to_deny: 0, deny_to_allow: 0, answer: 1 })
    const [change] = summary.changes
    assert.deepEqual(
      [change?.from.product, change?.to.product, change?.to.reason],
      ['payments', 'tills', 'svid_trust_domain'],
    )
    assert.equal((await replay([svidCall('/checkout', 'payments')], { products })).code, 0)
  })

  it('takes keys as they were, or as the new file says', async () => {
    const entry = (more: string) =>
      `version: 1\nkeys:\n  - { id: k_1, sha256: "${'a'.repeat(64)}", product: reports, consumer: acme${more} }\n`
    assert.equal((await replay([keyCall])).code, 0)
    assert.equal((await replay([keyCall], { keys: entry('') })).code, 0)
    const expired = await summaryOf([keyCall], { keys: entry(', expires: 2026-11-01') })
    assert.equal(expired.changes[0]?.to.reason, 'api_key_expired')
    const gone = await summaryOf([keyCall], { keys: entry('').replace('k_1', 'k_2') })
    assert.equal(gone.changes[0]?.to.reason, 'api_key_unknown')
    const refused = await summaryOf([keyCall], { products: oldMap.replace('accept', 'refuse') })
    assert.equal(refused.changes[0]?.to.reason, 'credential_not_accepted')
  })

  it('knows the key beside a certificate', async () => {
    const products = oldMap.replace(
      'payments:',
      'payments:\n    require: both\n    apiKeys: accept',
    )
    const alone = svidCall('/checkout', 'payments')
    assert.equal((await replay([alone], { products })).code, 2)
    const id = SpiffeId.parse('spiffe://corp.example/checkout')
    const status = 'valid' as const
    const keyBeside = { status, id: 'k_9', product: 'payments', consumer: 'acme' }
    const both = line({ peer: { ...peer, id }, decision: allow({ keyBeside }) })
    assert.equal((await replay([both], { products })).code, 0)
    const foreign = allow({ keyBeside: { ...keyBeside, product: 'reports' } })
    const other = line({ peer: { ...peer, id }, decision: foreign })
    assert.equal((await replay([other], { products })).code, 2)
  })

  it('replays no limit, and says so', async () => {
    const id = SpiffeId.parse('spiffe://corp.example/checkout')
    const limited = line({
      peer: { ...peer, id },
      decision: deny({ reason: 'rate_limited', status: 429, retryAfterSeconds: 1 }),
    })
    const { code, out } = await replay([limited])
    assert.equal(code, 0)
    assert.match(out, /limits are not replayed: 1 call above one counted as allowed\n$/)
    assert.equal((await replay([limited], { products: oldMap.replace('/checkout', '/x') })).code, 2)
  })

  it('takes what could not be recorded as allowed, and says so', async () => {
    const id = SpiffeId.parse('spiffe://corp.example/checkout')
    const decision = deny({ reason: 'audit_unavailable', status: 503 })
    const { code, out } = await replay([line({ peer: { ...peer, id }, decision })])
    assert.equal(code, 0)
    assert.match(out, /1 call that could not be recorded counted as allowed\n$/)
  })

  it('passes over what is no call, counts it, and reads on', async () => {
    const lines = [
      'a line of something else\n',
      line({ previousReason: 'svid_id' }),
      line({ direction: 'outbound', decision: outbound() }),
      line({ decision: deny({ reason: 'address_not_allowed' }) }),
      `${'x'.repeat(2_000_000)}\n`,
      keyCall,
      keyCall.slice(0, 100),
    ]
    const { skipped, replayed } = await summaryOf(lines)
    assert.equal(replayed, 1)
    assert.deepEqual(skipped, {
      ended_connection: 1,
      outbound: 1,
      listener_address: 1,
      truncated: 0,
      unreadable: 3,
    })
  })

  it('decides a TCP connection again', async () => {
    const id = SpiffeId.parse('spiffe://corp.example/checkout')
    const record = recordWithoutRequest('tcp', { peer: { ...peer, id } })
    const text = new AuditLines().render('0'.repeat(31) + '1', record, outcomeOf({ status: 0 }))
    assert.equal((await replay([text])).code, 0)
    const products = oldMap.replace('payments:', 'payments:\n    requests: [{ methods: [GET] }]')
    assert.equal((await replay([text], { products })).code, 2)
  })

  it('reads a log from stdin', async () => {
    assert.match((await replay([keyCall, keyCall], { stdin: true })).out, /^2 calls decided again/)
  })

  it('refuses a log of which it can read nothing, and a map that is bad', async () => {
    assert.equal((await replay(['hello\n', '{}\n'])).code, 64)
    assert.equal((await replay([])).code, 0)
    assert.equal((await replay([keyCall], { products: 'version: 2' })).code, 64)
  })

  it('refuses a log that it cannot read', async () => {
    assert.equal((await replay([], { args: ['--audit', join(directory, 'none')] })).code, 64)
    assert.equal((await replay([], { args: ['--audit', directory] })).code, 64)
  })

  it('prints no character that steers a terminal', async () => {
    const request = { method: 'GET', host: 'h', path: '/\u001b[31m\u202e' }
    const { out } = await replay([svidCall('/checkout', 'payments', request)], {
      products: oldMap.replace('/checkout', '/till'),
    })
    assert.match(out, /GET h\/\\u001b\[31m\\u202e: /)
    assert.match(out, /^[\x20-\x7e\n]*$/)
  })
})
