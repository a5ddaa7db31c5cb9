import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import fc from 'fast-check'
import { testKey } from '../support/certificate-writer.ts'
import { octetString } from '../support/der-writer.ts'
import type { TestCertificateOptions } from '../support/test-ca.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const own = 'spiffe://corp.example/checkout/web'
const certificates = 1_000
const atOnce = 8
const hourMs = 3_600_000

/** Something unusual about a certificate. A fault must keep it out, whatever else is in it. */
interface Odd {
  readonly name: string
  readonly isFault: boolean
  readonly options: TestCertificateOptions
}

function harmless(name: string, options: TestCertificateOptions): Odd {
  return { name, isFault: false, options }
}

function fault(name: string, options: TestCertificateOptions): Odd {
  return { name, isFault: true, options }
}

const unknownOid = '1.3.6.1.4.1.55555.7'
const extension = { oid: unknownOid, value: octetString(Buffer.from('?')) }

/** `stranger`: a key that signed nothing. */
function oddities(stranger: KeyObject): readonly Odd[] {
  const nowMs = Math.floor(Date.now() / 1_000) * 1_000
  return [
    harmless('a subject of nothing', { subject: '' }),
    harmless('a subject of many parts', { subject: `/C=US${'/OU=x'.repeat(60)}/CN=y` }),
    harmless('a long subject', { subject: `/CN=${'x'.repeat(3_000)}` }),
    harmless('a serial of one', { serial: 1n }),
    harmless('a serial of twenty bytes', { serial: 2n ** 159n - 1n }),
    harmless('an extension that nobody knows', { extensions: [extension] }),
    harmless('no basic constraints', { basicConstraints: null }),
    harmless('no extended key usage', { extendedKeyUsage: null }),
    harmless('years as generalized time', { timeForm: 'generalized' }),
    fault('a CA', { basicConstraints: { isCa: true } }),
    fault('the usage of a CA', { keyUsage: ['digitalSignature', 'keyCertSign'] }),
    fault('no digital signature', { keyUsage: ['keyAgreement'] }),
    fault('for servers only', { extendedKeyUsage: ['serverAuth'] }),
    fault('for code', { extendedKeyUsage: ['codeSigning'] }),
    fault('expired', { notBeforeMs: nowMs - 3 * hourMs, notAfterMs: nowMs - hourMs }),
    fault('not valid yet', { notBeforeMs: nowMs + hourMs, notAfterMs: nowMs + 2 * hourMs }),
    fault('valid from its end', { notBeforeMs: nowMs + hourMs, notAfterMs: nowMs - hourMs }),
    fault('signed by somebody else', { signer: stranger }),
    fault('of another issuer', { issuer: '/CN=nobody' }),
    fault('a critical extension that nobody knows', {
      extensions: [{ ...extension, isCritical: true }],
    }),
    fault('two URI names', { names: [{ uri: own }, { uri: `${own}/2` }] }),
    fault('no URI name', { names: [{ dns: 'a.example' }] }),
    fault('a URI that is no SPIFFE ID', { names: [{ uri: 'https://corp.example/checkout/web' }] }),
    fault('a SPIFFE ID without path', { names: [{ uri: 'spiffe://corp.example' }] }),
    fault('a SPIFFE ID in upper case', { names: [{ uri: 'spiffe://CORP.example/checkout/web' }] }),
    fault('a SPIFFE ID with dots', { names: [{ uri: 'spiffe://corp.example/checkout/../web' }] }),
    fault('a SPIFFE ID of another domain', { names: [{ uri: 'spiffe://partner-a.example/x' }] }),
    fault('a SPIFFE ID with NUL', { names: [{ uri: 'spiffe://corp.example/checkout/\0web' }] }),
    fault('version 1', { version: 1 }),
    fault('an algorithm that the inner part does not have', {
      innerAlgorithm: Buffer.from('3000', 'hex'),
    }),
  ]
}

/** `bytes`: places in the DER that are turned over. */
interface Draft {
  readonly odds: readonly Odd[]
  readonly bytes: readonly number[]
}

describe('client certificates of odd shapes', () => {
  let harness: InboundHarness

  before(async () => {
    harness = await InboundHarness.start({})
  })

  after(() => harness.close())

  it(`is told apart in ${certificates} of them, and a key beside one counts for nothing`, async () => {
    const key = testKey()
    const draft: fc.Arbitrary<Draft> = fc.record({
      odds: fc.array(fc.constantFrom(...oddities(testKey())), { maxLength: 3 }).map(together),
      bytes: fc.oneof(
        { weight: 4, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }) },
      ),
    })
    const drafts = fc.sample(draft, certificates)
    const counts: Record<string, number> = {}
    const judge = async (one: Draft) => {
      const answer = await call(harness, pemOf(harness, one, key), key)
      counts[answer] = (counts[answer] ?? 0) + 1
      const what = `${one.odds.map(({ name }) => name).join()} ${one.bytes.join()}: ${answer}`
      const isBad = one.odds.some(({ isFault }) => isFault)
      if (isBad) assert.match(answer, /^(?:403|alert)$/, what)
      else if (one.bytes.length === 0) assert.equal(answer, '200', what)
      else assert.match(answer, /^(?:200|403|alert)$/, what)
    }
    for (let i = 0; i < drafts.length; i += atOnce) {
      await Promise.all(drafts.slice(i, i + atOnce).map(judge))
    }

    assert.ok((counts['200'] ?? 0) > 50, JSON.stringify(counts))
    assert.ok((counts['403'] ?? 0) > 250, JSON.stringify(counts))
    const products = harness.telemetry.decisions.map(({ decision }) => decision.product)
    assert.ok(!products.includes('reports'))
    assert.equal((await harness.call({ headers: keyHeader(harness) })).status, 200)
  }).timeout(240_000)
})

/** Those that do not take each other back. */
function together(odds: readonly Odd[]): Odd[] {
  const taken = new Set<string>()
  return odds.filter(({ options }) => {
    const members = Object.keys(options)
    if (members.some((member) => taken.has(member))) return false
    for (const member of members) taken.add(member)
    return true
  })
}

function keyHeader(harness: InboundHarness): Record<string, string> {
  return { 'x-api-key': harness.keys[0]?.key ?? '' }
}

function pemOf({ corp }: InboundHarness, { odds, bytes }: Draft, key: KeyObject): string {
  const options = odds.map((odd) => odd.options)
  const der = corp.issue(
    Object.assign({ key, names: [{ uri: own }] }, ...options) as Parameters<typeof corp.issue>[0],
  )
  for (const place of bytes) {
    const at = place % der.length
    der.writeUInt8(der.readUInt8(at) ^ 0x55, at)
  }
  const base64 = (der.toString('base64').match(/.{1,64}/g) ?? []).join('\n')
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
}

/** The status of one request; `alert` when there was none, or when the client itself takes no such certificate. */
function call(harness: InboundHarness, cert: string, key: KeyObject): Promise<string> {
  const socket = tryConnect({
    port: harness.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    cert,
    key: key.export({ type: 'pkcs8', format: 'pem' }),
  })
  if (socket === undefined) return Promise.resolve('alert')
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  const apiKey = keyHeader(harness)['x-api-key'] ?? ''
  socket.write(`GET / HTTP/1.1\r\nHost: a\r\nx-api-key: ${apiKey}\r\nConnection: close\r\n\r\n`)
  return new Promise((resolve) => {
    socket.once('close', () => resolve(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 'alert'))
  })
}

/** Undefined for a certificate that is so odd that no client would send it. */
function tryConnect(options: ConnectionOptions): TLSSocket | undefined {
  try {
    return connect(options)
  } catch {
    return undefined
  }
}
