import assert from 'node:assert/strict'
import { finish } from '../../src/core/steps.ts'
import { authenticate } from '../../src/policy/authenticate.ts'
import { RevocationList } from '../../src/x509/revocation-list.ts'
import { testKey } from '../support/certificate-writer.ts'
import { integer, sequence } from '../support/der-writer.ts'
import {
  type EntrySpec,
  issuingDistributionPoint,
  revocationPoints,
  type RevocationListSpec,
  type ScopeSpec,
} from '../support/revocation-list-writer.ts'
import { skipMissingTool } from '../support/skip.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'
import { type OpensslAnswer, OpensslVerify } from './openssl-verify.ts'

const hourMs = 3_600_000
const nowMs = Math.floor(Date.now() / 1_000) * 1_000
const uri = 'http://crl.example/1.crl'

/** What is done to the list, or lists, of a CA. `subject`: the serial number of whom it issued on the path. */
interface Knob {
  readonly name: string
  readonly lists: (subject: bigint) => readonly Partial<RevocationListSpec>[]
}

const knob = (name: string, ...lists: readonly Partial<RevocationListSpec>[]): Knob => ({
  name,
  lists: () => lists,
})
const listing = (
  name: string,
  entry: Partial<EntrySpec>,
  more: Partial<RevocationListSpec> = {},
) => ({
  name,
  lists: (serial: bigint) => [{ entries: [{ serial: 5n }, { serial, ...entry }], ...more }],
})
const scope = (spec: ScopeSpec) => ({ extensions: [issuingDistributionPoint(spec)] })
const critical = { oid: '1.2.3.4', isCritical: true, value: integer(7) }
const stranger = testKey()

const ended = { nextUpdateMs: nowMs - 1_000 }
const toCome = { thisUpdateMs: nowMs + 60_000 }
const someReasons = scope({ reasons: [1, 2] })
const otherReasons = scope({ reasons: [3, 4, 5, 6, 7, 8] })

const knobs: readonly Knob[] = [
  knob('good', {}),
  knob('others revoked', { entries: [{ serial: 5n }, { serial: 1n << 100n, reason: 1 }] }),
  listing('revoked', {}),
  listing('revoked for a reason', { reason: 1 }),
  listing('on hold', { reason: 6 }),
  listing('taken back', { reason: 8 }),
  listing('revoked by a version 1 list', {}, { version: 1 }),
  listing('revoked from a day to come on', { atMs: nowMs + hourMs }),
  listing('revoked by a list that has ended', {}, ended),
  listing('revoked by a list to come', {}, toCome),
  listing('revoked by a list that a stranger signed', {}, { signer: stranger }),
  listing('with a critical extension of an entry', { extensions: [critical] }),
  listing('with an unknown extension of an entry', {
    extensions: [{ oid: '1.2.3.4', value: integer(7) }],
  }),
  knob('missing'),
  knob('ended', ended),
  knob('to come', toCome),
  knob('endless', { nextUpdateMs: null }),
  knob('GeneralizedTime', { timeForm: 'generalized' }),
  knob('signed by a stranger', { signer: stranger }),
  knob('signed by a stranger and by the CA', { signer: stranger }, {}),
  knob('with a critical extension', { extensions: [critical] }),
  knob('with an unknown extension', { extensions: [{ oid: '1.2.3.4', value: integer(7) }] }),
  knob('with a number', { extensions: [{ oid: '2.5.29.20', value: integer(12) }] }),
  knob('a delta', { extensions: [{ oid: '2.5.29.27', isCritical: true, value: integer(1) }] }),
  knob('of users', scope({ only: 'user' })),
  knob('of CAs', scope({ only: 'ca' })),
  knob('of attributes', scope({ only: 'attribute' })),
  knob('of a distribution point', scope({ uri })),
  knob('of another distribution point', scope({ uri: `${uri}2` })),
  knob('of some reasons', someReasons),
  knob('of all reasons in two lists', someReasons, otherReasons),
  knob('without any name or flag', scope({})),
  knob('of another issuer', { issuer: '/O=other/CN=root' }),
  knob('with two algorithms', { innerAlgorithm: sequence() }),
  {
    name: 'not revoked any more by a newer edition',
    lists: (serial) => [{ entries: [{ serial }], thisUpdateMs: nowMs - 2 * hourMs }, {}],
  },
  {
    name: 'revoked by a newer edition',
    lists: (serial) => [{ thisUpdateMs: nowMs - 2 * hourMs }, { entries: [{ serial }] }],
  },
]

/** Where OpenSSL accepts, and we mean to refuse. */
const stricter: Readonly<Record<string, string>> = {
  'with two algorithms': 'RFC 5280 5.1.1.2',
}

/** Where OpenSSL refuses, and we know better. */
const laxer: Readonly<Record<string, string>> = {
  'signed by a stranger and by the CA': 'OpenSSL takes one of several lists and does not turn back',
}

interface Outcome {
  readonly name: string
  readonly ours: string
  readonly openssl: OpensslAnswer
}

describe('revocation, compared with openssl verify -crl_check_all', function () {
  this.timeout(120_000)

  let openssl: OpensslVerify
  let root: TestCa
  let middle: TestCa
  let leaf: TestLeaf
  const outcomes: Outcome[] = []

  before(async function () {
    if (!(await OpensslVerify.isInstalled())) skipMissingTool(this, 'openssl 3')
    openssl = await OpensslVerify.start()
    // OpenSSL asks about the root too.
    root = await TestCa.root('generated', { extensions: [revocationPoints(uri)] })
    middle = await root.intermediate({ extensions: [revocationPoints(uri)] })
    leaf = await middle.leaf({ extensions: [revocationPoints(uri)] })
    const [good] = knobs
    assert.ok(good)
    for (const one of knobs) {
      await compare(one, good)
      await compare(good, one)
    }
    for (const [i, one] of knobs.entries()) {
      const other = knobs[(i * 7 + 3) % knobs.length]
      if (other !== undefined) await compare(one, other)
    }
  })

  after(() => openssl.close())

  async function compare(ofRoot: Knob, ofMiddle: Knob): Promise<void> {
    const lists = [
      ...listsOf(root, ofRoot, middle.certificate.serial),
      ...listsOf(middle, ofMiddle, leaf.certificate.serial),
    ]
    outcomes.push({
      name: `${ofRoot.name} | ${ofMiddle.name}`,
      ours: judge(lists),
      openssl: await openssl.ask({
        leaf: leaf.certificate.der,
        sent: [middle.certificate.der],
        anchors: [root.certificate.der],
        nowMs,
        isStrict: false,
        lists,
      }),
    })
  }

  function listsOf(ca: TestCa, { lists }: Knob, serial: string): Buffer[] {
    const dates = { thisUpdateMs: nowMs - hourMs, nextUpdateMs: nowMs + hourMs }
    return lists(BigInt(`0x${serial}`)).map((spec) => ca.revocationList([], { ...dates, ...spec }))
  }

  function judge(ders: readonly Buffer[]): string {
    const revocation = { lists: ders.flatMap(parseIfPossible), required: true }
    const authority = { alias: 'generated', anchors: [root.certificate], revocation }
    const trust = { bundles: new Map(), authorities: new Map([['generated', authority]]) }
    const peer = authenticate(leaf.certificates, trust, nowMs)
    return peer.kind === 'untrusted' ? peer.reason : 'good'
  }

  const describeOutcome = ({ name, ours, openssl: { text } }: Outcome) =>
    `${name}: ours ${ours}, openssl ${text.trim()}`
  const isNamed = ({ name }: Outcome, rules: Readonly<Record<string, string>>) =>
    Object.keys(rules).some((rule) => name.split(' | ').includes(rule))

  it('refuses what OpenSSL refuses, but for named rules', () => {
    const unexplained = outcomes
      .filter((one) => one.ours === 'good' && !one.openssl.isAccepted)
      .filter((one) => !isNamed(one, laxer))
    assert.deepEqual(unexplained.map(describeOutcome), [])
  })

  it('accepts what OpenSSL accepts, but for named rules', () => {
    const unexplained = outcomes
      .filter((one) => one.ours !== 'good' && one.openssl.isAccepted)
      .filter((one) => !isNamed(one, stricter))
    assert.deepEqual(unexplained.map(describeOutcome), [])
  })

  it('says revoked when that is all that OpenSSL complains about', () => {
    const revoked = outcomes.filter(({ openssl: { text } }) => {
      const complaints = new Set([...text.matchAll(/error (\d+) at/g)].map(([, code]) => code))
      return complaints.size === 1 && complaints.has('23')
    })
    assert.ok(revoked.length > 10, `${revoked.length}`)
    for (const one of revoked) assert.equal(one.ours, 'certificate_revoked', describeOutcome(one))
  })

  it('has seen enough of both outcomes', () => {
    const agreed = outcomes.filter((one) => (one.ours === 'good') === one.openssl.isAccepted)
    const accepted = agreed.filter(({ ours }) => ours === 'good').length
    assert.ok(accepted > 20, `${accepted} accepted by both`)
    assert.ok(agreed.length - accepted > 50, `${agreed.length - accepted} refused by both`)
  })
})

function parseIfPossible(der: Buffer): RevocationList[] {
  try {
    return [finish(RevocationList.read(der))]
  } catch {
    return []
  }
}
