import assert from 'node:assert/strict'
import { Certificate } from '../../src/x509/certificate.ts'
import { nameConstraintViolation } from '../../src/x509/name-constraints.ts'
import { type ConstraintsSpec, type NameSpec, testKey } from '../support/certificate-writer.ts'
import { TestCa, type TestCertificateOptions } from '../support/test-ca.ts'

const key = testKey()
const ip4 = (address: string) => Buffer.from(address.split('.').map(Number)).toString('hex')
const uri = (value: string) => ({ uri: value })
const dns = (value: string) => ({ dns: value })
const email = (value: string) => ({ email: value })
const directory = (value: string) => ({ directory: value })
const ip = (value: string) => ({ ip: value })

/** One base, and names that stand within it and outside of it. */
interface FormCase {
  readonly base: NameSpec
  readonly within: readonly NameSpec[]
  readonly outside: readonly NameSpec[]
}

const forms: readonly FormCase[] = [
  {
    base: uri('corp.example'),
    within: [
      'spiffe://corp.example',
      'spiffe://corp.example/a/b',
      'https://CORP.example:8443/a',
      'https://user@corp.example/',
      'https://corp.example?x',
      'https://corp.example./',
    ].map(uri),
    outside: [
      'spiffe://a.corp.example/a',
      'spiffe://corp.example.evil.test/',
      'spiffe://evilcorp.example/',
      'https://corp.example@evil.test/',
      'https://evil.test/#corp.example',
      'https://evil.test/corp.example',
      'https://evil.test?@corp.example',
    ].map(uri),
  },
  {
    base: uri('.corp.example'),
    within: ['spiffe://a.corp.example', 'spiffe://b.A.corp.example/x'].map(uri),
    outside: ['spiffe://corp.example/a', 'spiffe://acorp.example/a'].map(uri),
  },
  {
    base: dns('corp.example'),
    within: ['corp.example', 'a.corp.example', 'B.a.CORP.example', 'corp.example.'].map(dns),
    outside: ['acorp.example', 'corp.example.test', 'example'].map(dns),
  },
  {
    base: dns('.corp.example'),
    within: ['a.corp.example'].map(dns),
    outside: ['corp.example', 'acorp.example'].map(dns),
  },
  {
    base: email('corp.example'),
    within: ['a@corp.example', 'A.b@CORP.example'].map(email),
    outside: ['a@sub.corp.example', 'a@corp.example.test', 'corp.example@evil.test'].map(email),
  },
  {
    base: email('.corp.example'),
    within: ['a@sub.corp.example'].map(email),
    outside: ['a@corp.example'].map(email),
  },
  {
    base: email('a@corp.example'),
    within: ['a@corp.example', 'a@CORP.example'].map(email),
    outside: ['A@corp.example', 'b@corp.example', 'a@sub.corp.example'].map(email),
  },
  {
    base: ip(ip4('10.0.0.0') + ip4('255.0.0.0')),
    within: ['10.1.2.3', '10.255.255.255'].map(ip4).map(ip),
    outside: [ip(ip4('11.0.0.0')), ip('0a'.repeat(16))],
  },
  {
    base: ip(`fd${'00'.repeat(15)}ff${'00'.repeat(15)}`),
    within: [ip(`fd${'11'.repeat(15)}`)],
    outside: [ip(`fe${'11'.repeat(15)}`), ip(ip4('253.0.0.0'))],
  },
  {
    base: directory('/C=US/O=Corp'),
    within: ['/C=US/O=Corp', '/C=US/O=CORP/CN=x'].map(directory),
    outside: ['/C=US', '/O=Corp/C=US', '/C=US/O=Corporation', '/O=x/C=US/O=Corp'].map(directory),
  },
]

describe('name constraints', () => {
  let ca: TestCa

  before(async () => {
    ca = await TestCa.root('corp.example')
  })

  const isBroken = (nameConstraints: ConstraintsSpec, leaf: TestCertificateOptions): boolean => {
    const limited = Certificate.parse(ca.issue({ key, nameConstraints }))
    const below = Certificate.parse(ca.issue({ key, subject: '', ...leaf }))
    return nameConstraintViolation(limited.extensions.nameConstraints!, below) !== undefined
  }

  for (const { base, within, outside } of forms) {
    it(`permits what is within ${JSON.stringify(base)} and nothing else`, () => {
      for (const name of within)
        assert.ok(!isBroken({ permitted: [base] }, { names: [name] }), JSON.stringify(name))
      for (const name of outside)
        assert.ok(isBroken({ permitted: [base] }, { names: [name] }), JSON.stringify(name))
    })

    it(`excludes what is within ${JSON.stringify(base)} and nothing else`, () => {
      for (const name of within)
        assert.ok(isBroken({ excluded: [base] }, { names: [name] }), JSON.stringify(name))
      for (const name of outside)
        assert.ok(!isBroken({ excluded: [base] }, { names: [name] }), JSON.stringify(name))
    })
  }

  it('judges every name, not only the first', () => {
    const names = [uri('spiffe://a.test/x'), uri('spiffe://b.test/x')]
    assert.ok(isBroken({ permitted: [uri('a.test')] }, { names }))
    assert.ok(!isBroken({ permitted: [uri('a.test'), uri('b.test')] }, { names }))
    assert.ok(isBroken({ excluded: [uri('b.test')] }, { names }))
  })

  it('lets an exclusion win over a permission', () => {
    const constraints = { permitted: [dns('a.test')], excluded: [dns('x.a.test')] }
    assert.ok(!isBroken(constraints, { names: [dns('y.a.test')] }))
    assert.ok(isBroken(constraints, { names: [dns('x.a.test')] }))
  })

  it('leaves forms alone that are not constrained', () => {
    const names = [dns('b.test'), email('a@b.test'), { upn: 'a@b.test' }]
    assert.ok(!isBroken({ permitted: [uri('a.test')] }, { names }))
  })

  it('takes an empty host for every host', () => {
    const names = [dns('b.test'), uri('spiffe://b.test/x'), email('a@b.test')]
    for (const base of [dns(''), uri(''), email('')]) {
      assert.ok(!isBroken({ permitted: [base] }, { names }))
      assert.ok(isBroken({ excluded: [base] }, { names }))
    }
  })

  for (const value of [
    'urn:a:b',
    'spiffe:/a',
    'https://10.0.0.1/',
    'https://[::1]/',
    'https:///a',
    'https://a@b@corp.example/',
    'https://a%2etest/',
  ])
    it(`refuses ${value}, which has no host name, as soon as URIs are constrained`, () => {
      for (const constraints of [{ permitted: [uri('')] }, { excluded: [uri('a.test')] }])
        assert.ok(isBroken(constraints, { names: [uri(value)] }))
      assert.ok(!isBroken({ permitted: [dns('a.test')] }, { names: [uri(value)] }))
    })

  it('refuses a form that it cannot judge, but only where that form is constrained', () => {
    const upn = { upn: 'a@corp.example' }
    assert.ok(isBroken({ permitted: [upn] }, { names: [upn] }))
    assert.ok(isBroken({ excluded: [upn] }, { names: [{ upn: 'b@other.test' }] }))
    assert.ok(!isBroken({ permitted: [upn] }, { names: [dns('a.test')] }))
  })

  it('looks at the subject', () => {
    const constraints = { permitted: [directory('/O=Corp')] }
    assert.ok(!isBroken(constraints, { subject: '/O=Corp/CN=x' }))
    assert.ok(isBroken(constraints, { subject: '/O=Other/CN=x' }))
    assert.ok(!isBroken(constraints, { subject: '' }))
  })

  it('looks at e-mail addresses of the subject when there is no e-mail name', () => {
    const constraints = { permitted: [email('corp.example')] }
    assert.ok(!isBroken(constraints, { subject: '/emailAddress=a@corp.example' }))
    assert.ok(isBroken(constraints, { subject: '/emailAddress=a@other.test' }))
    const names = [email('a@corp.example')]
    assert.ok(!isBroken(constraints, { subject: '/emailAddress=a@other.test', names }))
  })
})
