import assert from 'node:assert/strict'
import fc from 'fast-check'
import { PosternError } from '../../src/core/errors.ts'
import {
  HostPattern,
  normaliseRequest,
  PathPattern,
  RequestRule,
} from '../../src/policy/request-rule.ts'

const position = { file: 'products.yaml', line: 1, column: 1 }

function normalise(path: string, host = 'api.example') {
  return normaliseRequest({ method: 'GET', host, path })
}

describe('normaliseRequest', () => {
  const paths: Readonly<Record<string, string>> = {
    '/': '/',
    '/v1/payments': '/v1/payments',
    '/v1/payments/': '/v1/payments/',
    '/v1/payments?x=%2F..//': '/v1/payments',
    '/?': '/',
    '/V1/Payments': '/V1/Payments',
    '/%76%31/p%2Dq%5f%7e': '/v1/p-q_~',
    '/caf%c3%a9': '/caf%C3%A9',
    '/100%25': '/100%25',
    '/%252541': '/%252541',
    '/.well-known/jwks.json': '/.well-known/jwks.json',
    '/...': '/...',
    '/a..b/..c/d..': '/a..b/..c/d..',
    '/a;v=1/b': '/a;v=1/b',
    "/a!$&'()*+,=:@b": "/a!$&'()*+,=:@b",
    '*': '*',
  }
  for (const [sent, path] of Object.entries(paths)) {
    it(`reads ${sent} as ${path}`, () => {
      assert.deepEqual(normalise(sent), {
        kind: 'normal',
        method: 'GET',
        host: 'api.example',
        path,
      })
    })
  }

  const ambiguous: Readonly<Record<string, string>> = {
    'an empty target': '',
    'a target without slash': 'v1',
    'an absolute target': 'http://api.example/v1',
    'an encoded slash': '/v1%2Fadmin',
    'an encoded slash in lower case': '/v1%2fadmin',
    'an encoded backslash': '/v1%5cadmin',
    'a backslash': '/v1\\admin',
    'a dot segment': '/v1/../admin',
    'a dot segment at the end': '/v1/..',
    'a single dot': '/v1/./admin',
    'an encoded dot segment': '/v1/%2e%2e/admin',
    'a half encoded dot segment': '/v1/.%2E/admin',
    'a dot segment with parameters': '/v1/..;x=1/admin',
    'a dot segment with encoded parameters': '/v1/..%3Bx/admin',
    'a doubly encoded dot segment': '/v1/%252e%252e/admin',
    'a dot segment that is doubly encoded in parts': '/v1/%25%32e%252%65/admin',
    'a doubly encoded slash': '/v1%252Fadmin',
    'an overlong encoding': '/v1/%c0%ae%c0%ae/admin',
    'an empty segment': '/v1//admin',
    'two leading slashes': '//admin',
    'an encoded NUL': '/v1%00',
    'a NUL': '/v1\0',
    'an encoded line feed': '/v1%0a',
    'a space': '/v1 /admin',
    'a character beyond ASCII': '/caf\u00e9',
    'a fragment': '/v1#x',
    'a broken encoding': '/v1/%4',
    'an encoding that is none': '/v1/%zz',
  }
  for (const [name, path] of Object.entries(ambiguous)) {
    it(`refuses ${name}`, () => assert.equal(normalise(path).kind, 'ambiguous'))
  }

  const hosts: Readonly<Record<string, string>> = {
    'API.Example': 'api.example',
    'api.example:8443': 'api.example',
    'api.example.': 'api.example',
    'api.example.:443': 'api.example',
    '[::1]:8080': '[::1]',
    '[::1]': '[::1]',
    '': '',
  }
  for (const [sent, host] of Object.entries(hosts)) {
    it(`reads host ${JSON.stringify(sent)} as ${JSON.stringify(host)}`, () => {
      const request = normalise('/', sent)
      assert.equal(request.kind === 'normal' ? request.host : undefined, host)
    })
  }

  it('decodes once: what it made is left as it is', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const once = normalise(path)
        if (once.kind === 'ambiguous') return
        assert.deepEqual(normalise(once.path), once)
      }),
    )
  })

  it('lets no dot segment and no separator through, however it is spelled', () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const request = normalise(path)
        if (request.kind === 'ambiguous' || request.path === '*') return
        const decoded = decodeBytes(decodeBytes(request.path))
        const segments = decoded.split('/').map((segment) => segment.replace(/;.*/, ''))
        assert.ok(!segments.includes('..') && !segments.includes('.'), path)
        assert.equal(decoded.split('/').length, request.path.split('/').length, path)
        assert.ok(!decoded.includes('\\'), path)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('PathPattern', () => {
  const cases: readonly (readonly [pattern: string, matches: string[], others: string[]])[] = [
    ['/', ['/'], ['/a', '', '*']],
    ['/v1/payments', ['/v1/payments'], ['/v1/payments/', '/v1/payments/1', '/V1/payments', '/v1']],
    ['/v1/payments/', ['/v1/payments/'], ['/v1/payments', '/v1/payments/x']],
    [
      '/v1/payments/**',
      ['/v1/payments/1', '/v1/payments/1/2/3', '/v1/payments/'],
      ['/v1/payments', '/v1/paymentsx', '/v1', '/v2/payments/1'],
    ],
    ['/v1/*', ['/v1/a'], ['/v1/', '/v1/a/b', '/v1', '/v1/a/']],
    ['/v1/*/items', ['/v1/a/items'], ['/v1/items', '/v1//items', '/v1/a/b/items', '/v1/a/itemsx']],
    ['/v1/*/items/**', ['/v1/a/items/1'], ['/v1/a/items', '/v1/a/b/items/1']],
    ['/*', ['/a'], ['/', '/a/b', '*']],
    ['/**', ['/', '/a', '/a/b'], ['*']],
    ['/%7Euser', ['/~user'], ['/%7Euser']],
  ]
  for (const [pattern, matches, others] of cases) {
    it(`${pattern} matches ${matches.join(' ')} and not ${others.join(' ')}`, () => {
      const compiled = PathPattern.parse(pattern)
      for (const path of matches) assert.equal(compiled.matches(path), true, path)
      for (const path of others) assert.equal(compiled.matches(path), false, path)
    })
  }

  const bad = ['', '*', 'v1', '/a*', '/**/a', '/a/**b', '/a?b', '/a/../b', '/a%2Fb', '//', '/a b']
  for (const pattern of bad) {
    it(`refuses ${JSON.stringify(pattern)}`, () => {
      assert.throws(() => PathPattern.parse(pattern), isConfigError)
    })
  }

  it('agrees with the regular expression that says the same', () => {
    const parts = fc.array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 3 })
    const pattern = fc
      .tuple(parts, fc.boolean())
      .map(([segments, open]) => `/${segments.join('/')}${open ? '/**' : ''}`)
    const path = fc.array(fc.constantFrom('a', 'b', 'ab', ''), { maxLength: 5 })
    fc.assert(
      fc.property(pattern, path, (text, segments) => {
        const expected = text.replace(/\*+/g, (stars) => (stars === '*' ? '[^/]+' : '.*'))
        const asked = `/${segments.join('/')}`
        const matches = PathPattern.parse(text).matches(asked)
        assert.equal(matches, new RegExp(`^${expected}$`).test(asked))
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('HostPattern', () => {
  it('matches one name', () => {
    const pattern = HostPattern.parse('api.example')
    assert.equal(pattern.matches('api.example'), true)
    assert.equal(pattern.matches('x.api.example'), false)
    assert.equal(pattern.matches('api.example.evil'), false)
  })

  it('lets * stand for exactly one label', () => {
    const pattern = HostPattern.parse('*.corp.example')
    assert.equal(pattern.matches('api.corp.example'), true)
    for (const host of ['corp.example', '.corp.example', 'a.b.corp.example', 'apicorp.example']) {
      assert.equal(pattern.matches(host), false, host)
    }
  })

  for (const text of ['localhost', '127.0.0.1', '[::1]', 'my_service']) {
    it(`accepts ${text}`, () => assert.equal(HostPattern.parse(text).matches(text), true))
  }

  for (const text of [
    '',
    '*',
    'API.example',
    'api.example:443',
    'a.*.example',
    '*.',
    'a..b',
    '-a',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => HostPattern.parse(text), isConfigError)
    })
  }
})

describe('RequestRule', () => {
  const rule = RequestRule.parse(
    { methods: ['GET', 'PUT'], hosts: ['api.example'], paths: ['/v1/**'] },
    position,
  )
  const matching = { method: 'GET', host: 'api.example', path: '/v1/x' }

  it('matches when method, host and path all match', () => {
    assert.equal(rule.matches(normaliseRequest(matching)), true)
    assert.equal(rule.whyNot(normaliseRequest(matching)), undefined)
  })

  const mismatches = {
    method: { ...matching, method: 'DELETE' },
    host: { ...matching, host: 'other.example' },
    path: { ...matching, path: '/v2/x' },
  }
  for (const [name, request] of Object.entries(mismatches)) {
    it(`does not match when the ${name} differs, and says so`, () => {
      assert.equal(rule.matches(normaliseRequest(request)), false)
      assert.ok(rule.whyNot(normaliseRequest(request))?.startsWith(name))
    })
  }

  it('takes HEAD for GET, and for nothing else', () => {
    const head = normaliseRequest({ ...matching, method: 'HEAD' })
    const posting = RequestRule.parse({ methods: ['POST'] }, position)
    assert.equal(rule.matches(head), true)
    assert.equal(posting.matches(head), false)
  })

  it('takes methods letter by letter', () => {
    assert.equal(rule.matches(normaliseRequest({ ...matching, method: 'get' })), false)
  })

  it('lets what is absent allow everything but an ambiguous path', () => {
    const any = RequestRule.parse({}, position)
    assert.equal(any.matches(normaliseRequest({ method: 'X', host: '', path: '/y' })), true)
    assert.equal(any.matches(normaliseRequest({ method: 'OPTIONS', host: '', path: '*' })), true)
    const ambiguous = normaliseRequest({ method: 'X', host: '', path: '/y/..' })
    assert.equal(any.matches(ambiguous), false)
    assert.ok(any.whyNot(ambiguous))
  })
})

function decodeBytes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

const anyPath = fc
  .array(
    fc.constantFrom(
      '/',
      '.',
      '%',
      '2',
      '5',
      'e',
      'E',
      'f',
      'F',
      'c',
      ';',
      'a',
      '3',
      '6',
      '%2',
      '%25',
      '\\',
    ),
    { maxLength: 12 },
  )
  .map((parts) => `/${parts.join('')}`)

function isConfigError(thrown: unknown): boolean {
  return thrown instanceof PosternError && thrown.code === 'ERR_CONFIG_INVALID'
}
