import assert from 'node:assert/strict'
import fc from 'fast-check'
import { HeaderRules } from '../../src/proxy/header-rules.ts'

const rules = HeaderRules.inbound('X-Api-Key')

describe('HeaderRules', () => {
  describe('keeps of a request', () => {
    const kept = [
      ['a name as it was sent', ['X-CaseD', 'v']],
      ['fields that come twice, in order', ['a', '1', 'b', '2', 'a', '3']],
      ['an empty value', ['a', '']],
      ['names that only look like ours', ['x-posternal', '1', 'postern-product', '2']],
      ['names that only look like framing', ['x-content-length', '1', 'contentlength', '2']],
      ['an authorization of another scheme', ['Authorization', 'Bearer ApiKey']],
      ['a scheme that only begins like ours', ['Authorization', 'ApiKeys x']],
      ['Expect, Cookie, Via', ['Expect', '100-continue', 'Cookie', 'a', 'Via', '1.1 x']],
      ['a long name', ['x'.repeat(200), 'v']],
    ] as const
    for (const [name, fields] of kept) {
      it(name, () => assert.deepEqual(rules.scanRequest(fields, []).kept, fields))
    }
  })

  describe('removes from a request', () => {
    const names = [
      'connection',
      'keep-alive',
      'proxy-connection',
      'proxy-authenticate',
      'proxy-authorization',
      'te',
      'trailer',
      'transfer-encoding',
      'upgrade',
      'http2-settings',
      'content-length',
      'host',
      'forwarded',
      'x-forwarded-for',
      'x-forwarded-host',
      'x-forwarded-proto',
      'x-forwarded-client-cert',
      'x-real-ip',
      'x-postern-product',
      'x-postern-',
      'x-postern-something-new',
      'x-api-key',
      'x-request-id',
      'traceparent',
      'tracestate',
    ]
    for (const name of names) {
      it(`${name}, in any case`, () => {
        for (const spelling of [name, name.toUpperCase(), capitalized(name)]) {
          assert.deepEqual(rules.scanRequest(['a', '1', spelling, 'v'], []).kept, ['a', '1'])
        }
      })
    }

    const underscored = names.filter((name) => name.includes('-'))
    for (const name of underscored) {
      const spelling = name.replaceAll('-', '_')
      it(spelling, () => {
        assert.deepEqual(rules.scanRequest([spelling, 'v', 'a', '1'], []).kept, ['a', '1'])
        assert.deepEqual(rules.scanRequest([spelling.toUpperCase(), 'v'], []).kept, [])
      })
    }

    it('what Connection lists, in any case', () => {
      const fields = ['X-A', '1', 'x-b', '2', 'x-a', '3', 'Authorization', 'Bearer x']
      const { kept } = rules.scanRequest(fields, ['close', 'x-a', 'authorization'])
      assert.deepEqual(kept, ['x-b', '2'])
    })

    it('nothing for the options that nearly every Connection lists', () => {
      const fields = ['close', '1', 'keep-alive', '2', 'x', '3']
      assert.deepEqual(rules.scanRequest(fields, ['close', 'keep-alive']).kept, [
        'close',
        '1',
        'x',
        '3',
      ])
    })
  })

  describe('finds in a request', () => {
    const keys = [
      ['no key', ['a', 'b'], undefined],
      ['a key under its header', ['X-API-KEY', 'k'], 'k'],
      ['a key under its header with underscores', ['x_api_key', 'k'], 'k'],
      ['a key as authorization', ['Authorization', 'ApiKey k'], 'k'],
      [
        'a key as authorization, in any case and with more spaces',
        ['authorization', 'APIKEY  \tk'],
        'k',
      ],
      ['an empty key', ['authorization', 'ApiKey'], ''],
      ['one key that is sent twice', ['x-api-key', 'k', 'authorization', 'ApiKey k'], 'k'],
      ['two keys as one that nobody has', ['x-api-key', 'k', 'x_api_key', 'l'], 'k, l'],
    ] as const
    for (const [name, fields, apiKey] of keys) {
      it(name, () => {
        const scan = rules.scanRequest([...fields, 'c', 'd'], [])
        assert.equal(scan.apiKey, apiKey)
        assert.ok(!scan.kept.includes('k'))
      })
    }

    it('a key although Connection lists it', () => {
      const fields = ['x-api-key', 'k', 'authorization', 'ApiKey k']
      assert.equal(rules.scanRequest(fields, ['x-api-key', 'authorization']).apiKey, 'k')
    })

    it('that trailers are wanted, which Connection must list', () => {
      assert.equal(
        rules.scanRequest(['TE', 'gzip, trailers;q=0.5'], ['te', 'x']).wantsTrailers,
        true,
      )
      assert.equal(rules.scanRequest(['TE', 'trailers'], []).wantsTrailers, true)
      assert.equal(rules.scanRequest(['TE', 'gzip, xtrailers'], []).wantsTrailers, false)
      assert.equal(rules.scanRequest(['a', 'b'], []).wantsTrailers, false)
    })

    it('the trace, which two different ones make unusable', () => {
      const scan = rules.scanRequest(['Traceparent', 'p', 'tracestate', 's', 'Tracestate', 't'], [])
      assert.equal(scan.traceparent, 'p')
      assert.equal(scan.tracestate, 's,t')
      assert.equal(rules.scanRequest(['traceparent', 'p', 'traceparent', 'q'], []).traceparent, '')
    })

    it('no trace that Connection lists', () => {
      const scan = rules.scanRequest(['traceparent', 'p', 'x-request-id', 'r'], ['traceparent'])
      assert.equal(scan.traceparent, undefined)
      assert.equal(scan.requestId, 'r')
    })

    it('an id of the request that is well-formed and the only one', () => {
      const idOf = (...values: string[]) =>
        rules.scanRequest(
          values.flatMap((value) => ['X-Request-Id', value]),
          [],
        ).requestId
      assert.equal(idOf('a-1:/+=@._'), 'a-1:/+=@._')
      assert.equal(idOf('x'.repeat(128)), 'x'.repeat(128))
      assert.equal(idOf('x'.repeat(129)), undefined)
      assert.equal(idOf('a b'), undefined)
      assert.equal(idOf(''), undefined)
      assert.equal(idOf('a', 'b'), undefined)
      assert.equal(idOf(), undefined)
    })
  })

  it('takes the header of the key as it is configured', () => {
    const other = HeaderRules.inbound('My_Key')
    assert.equal(other.scanRequest(['my-key', 'k', 'x-api-key', 'l'], []).apiKey, 'k')
    assert.deepEqual(other.scanRequest(['my-key', 'k', 'x-api-key', 'l'], []).kept, [
      'x-api-key',
      'l',
    ])
  })

  it('keeps of trailers to the workload what may pass in a head', () => {
    const trailers = [
      'X-Sum',
      '1',
      'x_postern_product',
      'p',
      'x-api-key',
      'k',
      'Authorization',
      'a',
    ]
    assert.deepEqual(rules.requestTrailers([...trailers, 'traceparent', 't']), ['X-Sum', '1'])
    assert.deepEqual(rules.requestTrailers([]), [])
  })

  it('removes from a reply what is hop-by-hop and what Connection lists', () => {
    const dropped = [
      'Connection',
      'Content-Length',
      'Keep-Alive',
      'Proxy-Authenticate',
      'Proxy-Connection',
      'TE',
      'Trailer',
      'Transfer-Encoding',
      'Upgrade',
      'X-Hop',
    ]
    const kept = ['Set-Cookie', 'a', 'x-postern-product', 'p', 'set-cookie', 'b', 'Date', 'd']
    const fields = [...dropped.flatMap((name) => [name, 'v']), ...kept]
    assert.deepEqual(rules.replyFields(fields, ['close', 'x-hop']), kept)
    assert.deepEqual(rules.replyFields(fields, []), ['X-Hop', 'v', ...kept])
  })

  it('gives the same answer however many names were seen before', () => {
    const name = fc.stringMatching(
      /^(?:[xX][-_]postern[-_][a-z]{0,3}|x[-_]api[-_]KEY|[a-z_-]{1,3}|TE)$/,
    )
    const fields = fc.array(fc.tuple(name, fc.constant('v'))).map((pairs) => pairs.flat())
    const flooded = HeaderRules.inbound('x-api-key')
    for (let i = 0; i < 5_000; i++) flooded.scanRequest([`name-${i}`, 'v'], [])
    fc.assert(
      fc.property(fields, (list) => {
        const fresh = HeaderRules.inbound('x-api-key')
        assert.deepEqual(flooded.scanRequest(list, []).kept, fresh.scanRequest(list, []).kept)
        assert.deepEqual(flooded.replyFields(list, []), fresh.replyFields(list, []))
      }),
      { numRuns: 200 },
    )
  })
})

function capitalized(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase())
}
