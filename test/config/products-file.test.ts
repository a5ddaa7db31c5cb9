import assert from 'node:assert/strict'
import { formatPosition } from '../../src/policy/source-position.ts'
import type { ProductMap } from '../../src/policy/product-map.ts'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'
import { checkAgainstBundles, parseProducts } from '../../src/config/products-file.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { TestCa } from '../support/test-ca.ts'
import { placesOf, problemsOf } from './support/problems.ts'

const file = 'products.yaml'

type Files = Readonly<Record<string, string>>

function parse(text: string, files: Files = {}, allowRemoteUpstream = false): ProductMap {
  const readPem = (path: string) => {
    const pem = files[path]
    if (pem === undefined) throw new Error('there is no such file')
    return pem
  }
  return parseProducts(text, file, { readPem, allowRemoteUpstream })
}

const places = (text: string, files: Files = {}) => placesOf(() => parse(text, files))

/** A file with one product, `p`. */
const withProduct = (settings: string) => `version: 1\nproducts:\n  p: ${settings}\n`

describe('parseProducts', () => {
  let rootB: TestCa
  let rootC: TestCa
  let leafPem: string

  before(async () => {
    rootB = await TestCa.root('Partner B')
    rootC = await TestCa.root('Partner C')
    leafPem = (await rootB.leaf({ dnsNames: ['shop.partner-b.example'] })).certificate.toPem()
  })

  it('reads a whole file', () => {
    const map = parse(
      `version: 1
products:
  payments:
    description: Card payments
    callers:
      - trustDomain: partner-a.example
      - spiffeId: spiffe://corp.example/checkout
      - spiffeId: spiffe://corp.example/batch/*
      - spiffeId: spiffe://corp.example/ns/prod/**
      - authority: partner-b
    apiKeys: accept
    apiKeysUntil: 2027-03-31
    require: any
    upstream: 127.0.0.1:8081
    requests:
      - { methods: [GET], hosts: [api.example], paths: [/v1/payments/**] }
    addresses: { allow: [10.0.0.0/8], deny: [10.9.0.0/16] }
    limit: { rate: 100/s, burst: 200, per: product }
  orders: {}
authorities:
  partner-b:
    certificates: ca/partner-b.pem
    trustDomain: partner-b.example
`,
      { 'ca/partner-b.pem': rootB.certificate.toPem() },
    )
    const payments = map.products.get('payments')
    assert.ok(payments !== undefined)
    const { callers, requests, position, ...settings } = payments
    assert.deepEqual(settings, {
      name: 'payments',
      description: 'Card payments',
      apiKeys: 'accept',
      apiKeysUntilMs: Date.UTC(2027, 2, 31),
      require: 'any',
      upstream: '127.0.0.1:8081',
      addresses: {
        allow: new CidrSet([parseCidr('10.0.0.0/8')]),
        deny: new CidrSet([parseCidr('10.9.0.0/16')]),
      },
      limit: { text: '100/s', count: 100, periodMs: 1_000, burst: 200, per: 'product' },
    })
    assert.equal(formatPosition(position), 'products.yaml:3:3')
    assert.deepEqual(
      callers.map((caller) => `${formatPosition(caller.position)} ${caller.text}`),
      [
        'products.yaml:6:9 trustDomain: partner-a.example',
        'products.yaml:7:9 spiffeId: spiffe://corp.example/checkout',
        'products.yaml:8:9 spiffeId: spiffe://corp.example/batch/*',
        'products.yaml:9:9 spiffeId: spiffe://corp.example/ns/prod/**',
        'products.yaml:10:9 authority: partner-b',
      ],
    )
    assert.deepEqual(
      requests?.map((rule) => formatPosition(rule.position)),
      ['products.yaml:16:9'],
    )
    const authority = map.authorities.get('partner-b')
    assert.equal(authority?.trustDomain?.name, 'partner-b.example')
    assert.equal(authority.certificatesFile, 'ca/partner-b.pem')
    assert.equal(formatPosition(authority.position), 'products.yaml:21:3')
    assert.deepEqual(
      authority.anchors.map((anchor) => anchor.sha256),
      [rootB.certificate.sha256],
    )
  })

  it('has defaults that let nobody in', () => {
    const { name, callers, apiKeys, require, ...rest } =
      parse(withProduct('{}')).products.get('p') ?? {}
    assert.deepEqual(
      { name, callers, apiKeys, require },
      {
        name: 'p',
        callers: [],
        apiKeys: 'refuse',
        require: 'any',
      },
    )
    assert.deepEqual(Object.keys(rest), ['position'])
  })

  it('lets a limit burst by its rate and count each principal, unless it says otherwise', () => {
    const { limit } = parse(withProduct('{ limit: { rate: 60/m } }')).products.get('p') ?? {}
    assert.deepEqual(limit, {
      text: '60/m',
      count: 60,
      periodMs: 60_000,
      burst: 60,
      per: 'principal',
    })
  })

  it('knows the files of revocation lists by their places, and nobody to be good before they are read', () => {
    const text = `version: 1
products: {}
authorities:
  b:
    certificates: b.pem
    crl: [b.crl, sub/b.crl]
    crlRequired: true
  c: { certificates: c.pem }
`
    const { authorities } = parse(text, { 'b.pem': rootB.pem, 'c.pem': rootC.pem })
    const named = authorities
      .get('b')
      ?.crlFiles.map(({ path, position }) => [path, formatPosition(position)])
    assert.deepEqual(named, [
      ['b.crl', 'products.yaml:6:11'],
      ['sub/b.crl', 'products.yaml:6:18'],
    ])
    assert.deepEqual(authorities.get('b')?.revocation, { lists: [], required: true })
    assert.equal(authorities.get('c')?.revocation, undefined)
  })

  it('takes old and new certificates of an authority from one PEM file', async () => {
    const renewed = await TestCa.root('Partner B')
    const pem = rootB.certificate.toPem() + renewed.certificate.toPem()
    const map = parse('version: 1\nproducts: {}\nauthorities: { b: { certificates: b.pem } }', {
      'b.pem': pem,
    })
    assert.equal(map.authorities.get('b')?.anchors.length, 2)
  })

  describe('refuses', () => {
    const cases: readonly (readonly [name: string, text: string, ...places: string[]])[] = [
      ['a file without version', 'products: {}', '1:1 version'],
      ['another version', 'version: 2\nproducts: {}', '1:10 version'],
      ['a version that is a text', 'version: "1"\nproducts: {}', '1:10 version'],
      ['a file without products', 'version: 1', '1:1 products'],
      ['an empty file', '', '1:1'],
      ['a product that is a list', withProduct('[]'), '3:6 products.p'],
      ['a name that no header can hold', 'version: 1\nproducts:\n  "a b": {}', '3:3 products.a b'],
      ['an unknown key of a product', withProduct('{ apikeys: accept }'), '3:8 products.p.apikeys'],
      ['a caller without selector', withProduct('{ callers: [{}] }'), '3:18 products.p.callers[0]'],
      [
        'a caller with two selectors',
        withProduct('{ callers: [{ trustDomain: a, authority: b }] }'),
        '3:18 products.p.callers[0]',
      ],
      [
        'a caller with an unknown selector',
        withProduct('{ callers: [{ trustdomain: a }] }'),
        '3:20 products.p.callers[0].trustdomain',
      ],
      [
        'a wildcard inside a SPIFFE ID',
        withProduct('{ callers: [{ spiffeId: spiffe://a/*/b }] }'),
        '3:30 products.p.callers[0].spiffeId',
      ],
      [
        'an authority that is not defined',
        withProduct('{ callers: [{ authority: b }] }'),
        '3:18 products.p.callers',
      ],
      ['an unknown apiKeys', withProduct('{ apiKeys: allow }'), '3:17 products.p.apiKeys'],
      [
        'a day that is none',
        withProduct('{ apiKeysUntil: 2027-02-29 }'),
        '3:22 products.p.apiKeysUntil',
      ],
      ['an unknown require', withProduct('{ require: key }'), '3:17 products.p.require'],
      ['a remote upstream', withProduct('{ upstream: 10.0.0.1:80 }'), '3:3 products.p.upstream'],
      ['an empty list of requests', withProduct('{ requests: [] }'), '3:18 products.p.requests'],
      [
        'a method in lower case',
        withProduct('{ requests: [{ methods: [get] }] }'),
        '3:31 products.p.requests[0].methods[0]',
      ],
      [
        'an ambiguous path',
        withProduct('{ requests: [{ paths: [/a/../b] }] }'),
        '3:29 products.p.requests[0].paths[0]',
      ],
      [
        'a host with a port',
        withProduct('{ requests: [{ hosts: ["a:80"] }] }'),
        '3:29 products.p.requests[0].hosts[0]',
      ],
      ['a rate of nothing', withProduct('{ limit: { rate: 0/s } }'), '3:23 products.p.limit.rate'],
      [
        'a range with bits below its prefix',
        withProduct('{ addresses: { allow: [10.0.0.1/8] } }'),
        '3:29 products.p.addresses.allow[0]',
      ],
      ['a limit without rate', withProduct('{ limit: {} }'), '3:8 products.p.limit.rate'],
      [
        'a burst of nothing',
        withProduct('{ limit: { rate: 1/s, burst: 0 } }'),
        '3:35 products.p.limit.burst',
      ],
      [
        'an authority without certificates',
        'version: 1\nproducts: {}\nauthorities:\n  b: {}',
        '4:3 authorities.b.certificates',
      ],
      [
        'an authority whose PEM file is missing',
        'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem }',
        '4:22 authorities.b.certificates',
      ],
      [
        'revocation lists that are none',
        'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem, crl: [] }',
        '4:34 authorities.b.crl',
      ],
      [
        'one revocation list that is no list of files',
        'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem, crl: b.crl }',
        '4:34 authorities.b.crl',
      ],
    ]
    for (const [name, text, ...expected] of cases) {
      it(name, () => {
        assert.deepEqual(places(text).sort(), expected.map((place) => `${file}:${place}`).sort())
      })
    }

    it('a PEM file that is none, naming it and the line that refers to it', () => {
      const text = 'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: ca/b.pem }'
      const [problem, ...others] = problemsOf(() => parse(text, { 'ca/b.pem': 'hello' }))
      assert.deepEqual(others, [])
      assert.equal(problem?.where, 'products.yaml:4:22')
      assert.match(problem.message, /^ca\/b\.pem: /)
    })

    it('crlRequired without crl', () => {
      const text = 'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem, '
      const files = { 'b.pem': rootB.pem }
      assert.deepEqual(places(`${text}crlRequired: true }`, files), [
        'products.yaml:4:42 authorities.b.crlRequired',
      ])
      parse(`${text}crlRequired: false }`, files)
      parse(`${text}crl: [b.crl], crlRequired: true }`, files)
    })

    it('a leaf in place of a CA certificate', () => {
      const text = 'version: 1\nproducts: {}\nauthorities:\n  b: { certificates: b.pem }'
      assert.deepEqual(places(text, { 'b.pem': leafPem }), [
        'products.yaml:4:22 authorities.b.certificates',
      ])
    })

    it('the same caller in two products, naming both lines', () => {
      const text = `version: 1
products:
  p:
    callers: [{ trustDomain: a.example }]
  q:
    callers:
      - trustDomain: b.example
      - trustDomain: a.example
`
      const [problem, ...others] = problemsOf(() => parse(text))
      assert.deepEqual(others, [])
      assert.equal(problem?.where, 'products.yaml:8:9')
      assert.match(problem.message, /products\.yaml:4:15/)
    })

    it('one CA certificate in two authorities, naming both lines', () => {
      const text = `version: 1
products: {}
authorities:
  b: { certificates: b.pem }
  c: { certificates: c.pem }
`
      const pem = rootB.certificate.toPem()
      const files = { 'b.pem': pem, 'c.pem': rootC.certificate.toPem() + pem }
      const [problem, ...others] = problemsOf(() => parse(text, files))
      assert.deepEqual(others, [])
      assert.equal(problem?.where, 'products.yaml:5:3')
      assert.match(problem.message, /products\.yaml:4:3/)
    })
  })

  it('lets a remote upstream be, when it is allowed', () => {
    const map = parse(withProduct('{ upstream: 10.0.0.1:80 }'), {}, true)
    assert.equal(map.products.get('p')?.upstream, '10.0.0.1:80')
  })

  it('tells all problems at once: values, conflicts and PEM files, in the order of the file', () => {
    const text = `version: 1
products:
  p:
    callers: [{ trustDomain: a.example }, { spiffeId: nonsense }]
    apiKeys: perhaps
  q:
    callers: [{ trustDomain: a.example }, { authority: nobody }]
    upstream: 10.0.0.1:80
authorities:
  b: { certificates: b.pem }
`
    assert.deepEqual(places(text), [
      'products.yaml:4:55 products.p.callers[1].spiffeId',
      'products.yaml:5:14 products.p.apiKeys',
      'products.yaml:6:3 products.q.upstream',
      'products.yaml:7:15 products.q.callers',
      'products.yaml:7:43 products.q.callers',
      'products.yaml:10:22 authorities.b.certificates',
    ])
  })

  it('calls no caller wrong because the authority it names is', () => {
    const text = `version: 1
products: { p: { callers: [{ authority: b }] } }
authorities: { b: { certificate: b.pem } }
`
    const paths = problemsOf(() => parse(text)).map(({ path }) => path)
    assert.deepEqual(paths.sort(), ['authorities.b.certificate', 'authorities.b.certificates'])
  })

  it('shows a hundred problems and counts the rest', () => {
    const products = Array.from({ length: 150 }, (_, i) => `  p${i}: []\n`).join('')
    const problems = problemsOf(() => parse(`version: 1\nproducts:\n${products}`))
    assert.equal(problems.length, 150)
    assert.throws(
      () => parse(`version: 1\nproducts:\n${products}`),
      (thrown: Error) => thrown.message.split('\n').length === 101,
    )
  })
})

describe('checkAgainstBundles', () => {
  it('finds an authority for a trust domain that the Workload API provides, and no other', async () => {
    const pem = (await TestCa.root('Partner B')).certificate.toPem()
    const map = parse(
      `version: 1
products: {}
authorities:
  b: { certificates: b.pem, trustDomain: b.example }
  c: { certificates: c.pem }
`,
      { 'b.pem': pem, 'c.pem': (await TestCa.root('C')).certificate.toPem() },
    )
    const bundleOf = (name: string) => {
      const trustDomain = TrustDomain.parse(name)
      return new Map([[name, { trustDomain, anchors: [] }]])
    }
    const found = checkAgainstBundles(map, bundleOf('b.example'))
    assert.deepEqual(
      found.map(({ where, path }) => `${where} ${path}`),
      ['products.yaml:4:3 authorities.b.trustDomain'],
    )
    assert.deepEqual(checkAgainstBundles(map, bundleOf('c.example')), [])
  })
})
