import assert from 'node:assert/strict'
import { authenticateDer } from '../../src/policy/authenticate.ts'
import type { Peer } from '../../src/policy/peer.ts'
import { Certificate } from '../../src/x509/certificate.ts'
import { skipMissingTool } from '../support/skip.ts'
import { generateScenarios, generatorNowMs as nowMs, type Scenario } from './chain-generator.ts'
import { type OpensslAnswer, OpensslVerify } from './openssl-verify.ts'

/** Where we are stricter than OpenSSL, and mean to be. Each shows in a reason and in what was done to the chain. */
const stricter: readonly {
  readonly rule: string
  readonly reason: string
  readonly tag: RegExp
}[] = [
  {
    rule: 'an extension stands at most once (RFC 5280 4.2)',
    reason: 'certificate_malformed',
    tag: /extension twice/,
  },
  {
    rule: 'the signed and the outer signature algorithm are equal (RFC 5280 4.1.1.2), also where no path needs the certificate',
    reason: 'certificate_malformed',
    tag: /inner algorithm differs/,
  },
  {
    rule: 'a CA certificate is no client',
    reason: 'certificate_not_for_client_auth',
    tag: /cA true \(leaf\)/,
  },
  {
    rule: 'a TLS client signs, so key agreement alone does not do',
    reason: 'certificate_not_for_client_auth',
    tag: /keyAgreement only/,
  },
  {
    rule: 'keys and signatures are of the strength that DESIGN.md names',
    reason: 'path_invalid',
    tag: /RSA 1024|secp256k1|SHA-1/,
  },
  {
    rule: 'a path has at most six certificates (the leaf claims a SPIFFE ID that is not held)',
    reason: 'trust_domain_unknown',
    tag: /seven certificates/,
  },
  {
    rule: 'a path has at most six certificates',
    reason: 'issuer_unknown',
    tag: /seven certificates/,
  },
]

/** Where OpenSSL refuses even the very path that we found. */
const laxer: readonly { readonly rule: string; readonly tag: RegExp }[] = [
  {
    rule: 'key identifiers order the candidates and refuse none (RFC 5280 6.1 does not compare them)',
    tag: /authority key id/,
  },
  {
    rule: 'a self-issued certificate without key identifiers is not taken for self-signed',
    tag: /self-issued key change.* key id/,
  },
  {
    rule: 'a CA with anyExtendedKeyUsage is not limited (RFC 5280 4.2.1.12)',
    tag: /extended key usage any \((anchor|sent)\)/,
  },
]

interface Outcome {
  readonly scenario: Scenario
  readonly ours: Peer
  readonly openssl: OpensslAnswer
}

const scenarioCount = 360

describe('paths, compared with openssl verify', function () {
  this.timeout(120_000)

  let openssl: OpensslVerify | undefined
  let outcomes: readonly Outcome[]

  before(async function () {
    if (!(await OpensslVerify.isInstalled())) skipMissingTool(this, 'openssl 3')
    const started = await OpensslVerify.start()
    openssl = started
    const scenarios = generateScenarios(scenarioCount, 20_260_601)
    outcomes = await inPairs(scenarios, async (scenario) => ({
      scenario,
      ours: judge(scenario),
      openssl: await started.ask({ ...scenario, nowMs, isStrict: true }),
    }))
  })

  after(() => openssl?.close())

  it('refuses what OpenSSL refuses, and else finds a path that OpenSSL accepts', async () => {
    const unexplained: string[] = []
    for (const outcome of outcomes.filter(
      ({ ours, openssl }) => isAccepted(ours) && !openssl.isAccepted,
    ))
      if (!(await isPathAccepted(openssl!, outcome)) && !isNamedLaxer(outcome))
        unexplained.push(describeOutcome(outcome))
    assert.deepEqual(unexplained, [])
  })

  it('accepts what OpenSSL accepts, but for named rules', () => {
    const unexplained = outcomes
      .filter(({ ours, openssl }) => !isAccepted(ours) && openssl.isAccepted)
      .filter((outcome) => !isNamedStricter(outcome))
      .map(describeOutcome)
    assert.deepEqual(unexplained, [])
  })

  it('names the date when that is all that OpenSSL complains about', () => {
    const reasons = new Map([
      ['10', 'certificate_expired'],
      ['9', 'certificate_not_yet_valid'],
    ])
    for (const outcome of outcomes) {
      const complaints = [...new Set(complaintsOf(outcome.openssl))]
      const expected = complaints.length === 1 ? reasons.get(complaints[0] ?? '') : undefined
      if (expected === undefined || isAccepted(outcome.ours)) continue
      if (isNamedStricter(outcome)) continue
      assert.equal(reasonOf(outcome.ours), expected, describeOutcome(outcome))
    }
  })

  it('has seen enough of both outcomes, and every rule at work', () => {
    const agreed = outcomes.filter(({ ours, openssl }) => isAccepted(ours) === openssl.isAccepted)
    const accepted = agreed.filter(({ ours }) => isAccepted(ours)).length
    assert.ok(accepted > 100, `${accepted} accepted by both`)
    assert.ok(agreed.length - accepted > 100, `${agreed.length - accepted} refused by both`)
    const differing = outcomes.filter(
      ({ ours, openssl }) => isAccepted(ours) !== openssl.isAccepted,
    )
    for (const { rule, tag } of [...stricter, ...laxer])
      assert.ok(
        differing.some(({ scenario }) => hasTag(scenario, tag)),
        rule,
      )
  })
})

function judge(scenario: Scenario): Peer {
  const anchors = scenario.anchors.flatMap(parseIfPossible)
  const authorities = new Map([['generated', { alias: 'generated', anchors }]])
  return authenticateDer(
    [scenario.leaf, ...scenario.sent],
    { bundles: new Map(), authorities },
    nowMs,
  )
}

/** A CA certificate that does not parse never comes into a bundle. */
function parseIfPossible(der: Buffer): Certificate[] {
  try {
    return [Certificate.parse(der)]
  } catch {
    return []
  }
}

function isAccepted(peer: Peer): boolean {
  return peer.kind === 'certificate'
}

function reasonOf(peer: Peer): string {
  return peer.kind === 'untrusted' ? peer.reason : peer.kind
}

/**
 * OpenSSL takes the first issuer that it finds and does not turn back, and -x509_strict demands of CAs what RFC
 * 5280 asks of issuers and not of verifiers (key identifiers, critical basic constraints). So it is asked again:
 * about our path alone, without the profile.
 */
async function isPathAccepted(
  openssl: OpensslVerify,
  { scenario, ours }: Outcome,
): Promise<boolean> {
  if (ours.kind !== 'certificate') return false
  const sent = ours.path.certificates.slice(1, -1).map((certificate) => certificate.der)
  const anchors = [ours.path.anchor.der]
  const question = { leaf: scenario.leaf, sent, anchors, nowMs, isStrict: false }
  return (await openssl.ask(question)).isAccepted
}

function isNamedStricter({ scenario, ours }: Outcome): boolean {
  const anchorIsMalformed = scenario.anchors.some((der) => parseIfPossible(der).length === 0)
  return stricter.some(
    ({ reason, tag }) => hasTag(scenario, tag) && (reason === reasonOf(ours) || anchorIsMalformed),
  )
}

function isNamedLaxer({ scenario }: Outcome): boolean {
  return laxer.some(({ tag }) => hasTag(scenario, tag))
}

function hasTag(scenario: Scenario, shape: RegExp): boolean {
  return shape.test([...scenario.tags].join(' + '))
}

function complaintsOf(answer: OpensslAnswer): string[] {
  return [...answer.text.matchAll(/error (\d+) at/g)].map((match) => match[1] ?? '')
}

function describeOutcome({ scenario, ours, openssl }: Outcome): string {
  const detail = ours.kind === 'untrusted' ? `${ours.reason}: ${ours.detail}` : ours.kind
  return `${[...scenario.tags].join(' + ')} | ours: ${detail} | openssl: ${openssl.text.trim()}`
}

/** Two at a time: most of the time goes into starting processes. */
async function inPairs<Item, Result>(
  items: readonly Item[],
  ask: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (let i = 0; i < items.length; i += 2)
    results.push(...(await Promise.all(items.slice(i, i + 2).map(ask))))
  return results
}
