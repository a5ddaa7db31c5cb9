import assert from 'node:assert/strict'
import { X509SVIDResponse, type X509SVID } from '../../src/workload-api/generated/workload.ts'
import { parseX509Update, selectSvid } from '../../src/workload-api/x509-update.ts'
import { TestIssuer, response } from './support/test-issuer.ts'

describe('parseX509Update', () => {
  let corp: TestIssuer
  let partner: TestIssuer
  let good: X509SVID
  let other: X509SVID

  before(async () => {
    corp = await TestIssuer.create('corp.example')
    partner = await TestIssuer.create('partner.example')
    good = await corp.svid('billing')
    other = await corp.svid('checkout')
  })

  const encode = (message: X509SVIDResponse) => X509SVIDResponse.encode(message).finish()
  const parse = (message: X509SVIDResponse) => parseX509Update(encode(message))
  const garbage = Buffer.from('this is no certificate')

  it('reads identities, hints, bundles and revocation lists', () => {
    const federated = { 'spiffe://partner.example': partner.bundle }
    const update = parse(response([good, { ...other, hint: 'h' }], federated, [Buffer.from('crl')]))
    assert.deepEqual(
      update.svids.map(({ svid, hint }) => [svid.id.toString(), hint]),
      [
        ['spiffe://corp.example/billing', ''],
        ['spiffe://corp.example/checkout', 'h'],
      ],
    )
    assert.deepEqual([...update.bundles.keys()], ['corp.example', 'partner.example'])
    assert.ok(update.bundles.get('corp.example')?.anchors[0]?.der.equals(corp.bundle))
    assert.ok(update.bundles.get('partner.example')?.anchors[0]?.der.equals(partner.bundle))
    assert.deepEqual(update.crls, [Buffer.from('crl')])
  })

  it('takes a federated trust domain by its bare name too', () => {
    const update = parse(response([good], { 'partner.example': partner.bundle }))
    assert.equal(update.bundles.get('partner.example')?.anchors.length, 1)
  })

  it('takes an empty federated bundle as one that trusts nobody', () => {
    const update = parse(response([good], { 'spiffe://partner.example': Buffer.alloc(0) }))
    assert.deepEqual(update.bundles.get('partner.example')?.anchors, [])
  })

  const bad: { name: string; message: () => X509SVIDResponse | Promise<X509SVIDResponse> }[] = [
    { name: 'no SVID', message: () => response([]) },
    { name: 'a garbage chain', message: () => response([{ ...good, x509Svid: garbage }]) },
    { name: 'an empty chain', message: () => response([{ ...good, x509Svid: Buffer.alloc(0) }]) },
    {
      name: 'a chain with bytes behind it',
      message: () => response([{ ...good, x509Svid: Buffer.concat([good.x509Svid, garbage]) }]),
    },
    {
      name: 'the key of another leaf',
      message: () => response([{ ...good, x509SvidKey: other.x509SvidKey }]),
    },
    { name: 'a garbage key', message: () => response([{ ...good, x509SvidKey: garbage }]) },
    { name: 'no key', message: () => response([{ ...good, x509SvidKey: Buffer.alloc(0) }]) },
    {
      name: 'an announced ID that the leaf does not carry',
      message: () => response([{ ...good, spiffeId: other.spiffeId }]),
    },
    { name: 'no announced ID', message: () => response([{ ...good, spiffeId: '' }]) },
    { name: 'an empty bundle', message: () => response([{ ...good, bundle: Buffer.alloc(0) }]) },
    { name: 'a garbage bundle', message: () => response([{ ...good, bundle: garbage }]) },
    {
      name: 'a second SVID that is bad',
      message: () => response([good, { ...other, bundle: Buffer.alloc(0) }]),
    },
    {
      name: 'a hint above 1024 bytes',
      message: () => response([{ ...good, hint: 'h'.repeat(1025) }]),
    },
    {
      name: 'a garbage federated bundle',
      message: () => response([good], { 'spiffe://partner.example': garbage }),
    },
    {
      name: 'a federated bundle of no trust domain',
      message: () => response([good], { 'spiffe://Partner.example': partner.bundle }),
    },
    {
      name: 'a federated bundle under an ID with a path',
      message: () => response([good], { 'spiffe://partner.example/a': partner.bundle }),
    },
    {
      name: 'a federated bundle that contradicts our own',
      message: () => response([good], { 'spiffe://corp.example': partner.bundle }),
    },
    {
      name: 'two bundles of one trust domain that differ',
      message: () => response([good, { ...other, bundle: partner.bundle }]),
    },
    {
      name: 'more than 256 SVIDs',
      message: () => response(Array.from({ length: 257 }, () => good)),
    },
  ]

  for (const { name, message } of bad) {
    it(`refuses a message with ${name}`, async () => {
      const bytes = encode(await message())
      assert.throws(() => parseX509Update(bytes), { code: 'ERR_WORKLOAD_API_RESPONSE' })
    })
  }

  it('refuses bytes that are no message', () => {
    assert.throws(() => parseX509Update(Buffer.from([0x0a, 0xff])), {
      code: 'ERR_WORKLOAD_API_RESPONSE',
    })
  })

  it('takes the longest hint, and our own bundle again among the federated ones', () => {
    const svids = [{ ...good, hint: 'h'.repeat(1024) }]
    assert.equal(parse(response(svids, { 'spiffe://corp.example': corp.bundle })).bundles.size, 1)
  })

  it('shows no private key when it is printed', () => {
    const { svid } = parse(response([good])).svids[0]
    assert.ok(svid.privateKeyPem().includes('PRIVATE KEY'))
    assert.equal(JSON.stringify(svid).includes('PRIVATE KEY'), false)
  })

  describe('its digest', () => {
    const digest = (message: X509SVIDResponse) => parse(message).digest

    it('is the same whatever the order of federated bundles and of a bundle', async () => {
      const third = await TestIssuer.create('third.example')
      const a = {
        'spiffe://partner.example': partner.bundle,
        'spiffe://third.example': third.bundle,
      }
      const b = {
        'spiffe://third.example': third.bundle,
        'spiffe://partner.example': partner.bundle,
      }
      assert.equal(digest(response([good], a)), digest(response([good], b)))
      const forth = { ...good, bundle: Buffer.concat([corp.bundle, partner.bundle]) }
      const back = { ...good, bundle: Buffer.concat([partner.bundle, corp.bundle]) }
      assert.equal(digest(response([forth])), digest(response([back])))
    })

    it('differs for every part that matters', async () => {
      const renewed = await corp.svid('billing')
      const messages = [
        response([good]),
        response([renewed]),
        response([{ ...good, hint: 'h' }]),
        response([{ ...good, bundle: Buffer.concat([corp.bundle, partner.bundle]) }]),
        response([good, other]),
        response([other, good]),
        response([good], { 'spiffe://partner.example': partner.bundle }),
        response([good], { 'spiffe://partner.example': Buffer.alloc(0) }),
        response([good], {}, [Buffer.from('crl')]),
      ]
      assert.equal(new Set(messages.map(digest)).size, messages.length)
    })
  })

  describe('selectSvid', () => {
    const select = (hint: string | undefined, ...svids: X509SVID[]) =>
      selectSvid(parse(response(svids)), hint)?.id.path

    it('takes the first without a hint, whatever hints there are', () => {
      assert.equal(select(undefined, { ...good, hint: 'a' }, other), '/billing')
    })

    it('takes the first of several with the hint', async () => {
      const third = await corp.svid('third', 'b')
      assert.equal(select('b', { ...good, hint: 'a' }, { ...other, hint: 'b' }, third), '/checkout')
    })

    it('takes none when no SVID has the hint', () => {
      assert.equal(select('c', { ...good, hint: 'a' }, other), undefined)
    })
  })
})
