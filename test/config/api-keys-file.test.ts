import assert from 'node:assert/strict'
import fc from 'fast-check'
import { parseApiKeys, parseOtherKeys, readApiKeys } from '../../src/config/api-keys-file.ts'
import { KeyLines } from '../../src/config/key-lines.ts'
import { ConfigError } from '../../src/config/problem.ts'
import type { ApiKeys } from '../../src/policy/api-keys.ts'
import { digestOf } from '../../src/policy/api-key.ts'
import { placesOf, problemsOf } from './support/problems.ts'

const file = 'api-keys.yaml'
const hex = digestOf('key')

const parse = (text: string) => parseApiKeys(text, file)
const parseByYaml = (text: string) => parseOtherKeys(text, file, 1)

/** A file with these entries, each on its line from line 3 on. */
const fileOf = (...entries: readonly string[]) =>
  `version: 1\nkeys:\n${entries.map((entry) => `  - ${entry}\n`).join('')}`

const good = `{ id: k_1, sha256: "${hex}", product: payments, consumer: acme }`

describe('parseApiKeys', () => {
  it('reads an entry, with its dates as moments in UTC', () => {
    const dates = 'notBefore: 2026-11-01, expires: 2027-02-01T10:00:00+02:00'
    const text = fileOf(
      `{ id: k_8f3a2c91, sha256: "${hex}", product: payments, consumer: acme, ${dates} }`,
    )
    assert.deepEqual(
      [...parse(text).entries()],
      [
        {
          id: 'k_8f3a2c91',
          sha256: hex,
          product: 'payments',
          consumer: 'acme',
          notBeforeMs: Date.UTC(2026, 10, 1),
          expiresMs: Date.UTC(2027, 1, 1, 8),
          line: 3,
        },
      ],
    )
    assert.equal(parse(text).find('key')?.id, 'k_8f3a2c91')
  })

  const forms: Readonly<Record<string, string>> = {
    'one entry to a line': fileOf(good),
    'an entry over several lines': `version: 1
keys:
  - id: k_1
    sha256: ${hex}
    product: payments
    consumer: acme
`,
    'keys before version': `keys: [${good}]\nversion: 1\n`,
    JSON: JSON.stringify({
      version: 1,
      keys: [{ id: 'k_1', sha256: hex, product: 'payments', consumer: 'acme' }],
    }),
    'an upper-case digest': fileOf(good.replace(hex, hex.toUpperCase())),
    'Windows line ends': fileOf(good).replaceAll('\n', '\r\n'),
    'no line end at the end': fileOf(good).trimEnd(),
  }
  for (const [name, text] of Object.entries(forms)) {
    it(`reads ${name}`, () => {
      const [entry, ...others] = [...parse(text).entries()]
      assert.deepEqual(others, [])
      assert.equal(entry?.sha256, hex)
      assert.equal(entry.consumer, 'acme')
    })
  }

  it('reads a file without keys', () => {
    assert.equal(parse('version: 1\nkeys: []\n').size, 0)
  })

  describe('refuses', () => {
    const cases: readonly (readonly [name: string, text: string, ...places: string[]])[] = [
      ['an empty file', '', '1:1'],
      ['another version', fileOf(good).replace('1', '2'), '1:10 version'],
      ['a file without keys', 'version: 1\n', '1:1 keys'],
      ['an empty list', 'version: 1\nkeys:\n', '2:6 keys'],
      ['an entry that is a text', fileOf('k_1'), '3:5 keys[0]'],
      [
        'an entry without consumer',
        fileOf(good.replace(', consumer: acme', '')),
        '3:5 keys[0].consumer',
      ],
      ['an entry with one key twice', fileOf(good.replace(' }', ', id: k_2 }')), '3:127'],
      [
        'an unknown key',
        fileOf(good.replace(' }', ', expire: 2027-01-01 }')),
        '3:127 keys[0].expire',
      ],
      ['a digest that is none', fileOf(good.replace(hex, 'abc')), '3:24 keys[0].sha256'],
      [
        'a digest that YAML reads as a number',
        fileOf(good.replace(`"${hex}"`, '1'.repeat(64))),
        '3:24 keys[0].sha256',
      ],
      [
        'a consumer that no header can hold',
        fileOf(good.replace('acme', 'Müller')),
        '3:121 keys[0].consumer',
      ],
      [
        'a consumer that YAML reads as true',
        fileOf(good.replace('acme', 'true')),
        '3:121 keys[0].consumer',
      ],
      [
        'a day that is none',
        fileOf(good.replace(' }', ', expires: 2027-02-30 }')),
        '3:136 keys[0].expires',
      ],
    ]
    for (const [name, text, ...expected] of cases) {
      it(name, () => {
        assert.deepEqual(
          placesOf(() => parse(text)),
          expected.map((place) => `${file}:${place}`),
        )
      })
    }

    for (const [field, twin] of [
      ['id', good.replace(hex, digestOf('other'))],
      ['sha256', good.replace('k_1', 'k_2')],
    ] as const) {
      it(`the same ${field} twice, naming both lines, in either form`, () => {
        const text = fileOf(good, '{ id: x }', twin).replace(/.*id: x.*\n/, '  # a comment\n')
        for (const read of [parse, parseByYaml]) {
          const [problem, ...others] = problemsOf(() => read(text))
          assert.deepEqual(others, [])
          assert.equal(problem?.where, 'api-keys.yaml:5:5')
          assert.match(problem.message, new RegExp(`${field} of the entry in line 3`))
        }
      })
    }

    const key = `pst_k_1_verysecret${'0'.repeat(39)}`
    const misplaced: Readonly<Record<string, string>> = {
      'of its digest': good.replace(hex, key),
      'of its id': good.replace('k_1', key),
      'of its consumer': good.replace('acme', key),
      'of its product': good.replace('payments', `${key}0000000`),
      'of the name of a member': good.replace('consumer', key),
      'of an entry': `"${key}`,
      'of an entry, after a bracket': `} ${key}`,
    }
    for (const [place, entry] of Object.entries(misplaced)) {
      it(`a key in place ${place}, and does not repeat it`, () => {
        const problems = problemsOf(() => parse(fileOf(entry)))
        assert.ok(!JSON.stringify(problems).includes('verysecret'), JSON.stringify(problems))
      })
    }

    it('a large file with a line of another form, naming the line', () => {
      const entries = Array.from({ length: 70_000 }, (_, i) =>
        good.replace('k_1', `k_${i}`).replace(hex, digestOf(String(i))),
      )
      assert.equal(parse(fileOf(...entries)).size, 70_000)
      entries[60_000] = '{ id: k_1 }'
      assert.deepEqual(
        placesOf(() => parse(fileOf(...entries))),
        ['api-keys.yaml:60003:1 keys'],
      )
    })
  })
})

describe('KeyLines', () => {
  it('takes what postern key create writes', () => {
    assert.equal(readApiKeys(fileOf(good), file).form, 'lines')
  })

  it('takes the text in pieces of any size', () => {
    const entries = Array.from({ length: 20 }, (_, i) =>
      good.replace('k_1', `k_${i}`).replace(hex, digestOf(String(i))),
    )
    const text = `# keys\n${fileOf(...entries)}`
    const whole = describeKeys(parse(text))
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const lines = new KeyLines(file, 0)
        let from = 0
        for (const cut of [...cuts.sort((a, b) => a - b), text.length]) {
          assert.ok(lines.push(text.slice(from, cut)))
          from = cut
        }
        const keys = lines.finish()
        assert.ok(keys !== undefined)
        assert.deepEqual(describeKeys(keys), whole)
      }),
    )
  })

  it('means what the YAML parser says, or leaves the text to it', () => {
    let taken = 0
    fc.assert(
      fc.property(anyKeysText, (text) => {
        const read = outcome(() => {
          const lines = new KeyLines(file, 0)
          return lines.push(text) ? lines.finish() : undefined
        })
        if (read === undefined) return
        taken++
        assert.deepEqual(
          read,
          outcome(() => parseByYaml(text)),
        )
      }),
      { numRuns: 1_000 },
    )
    assert.ok(taken > 200, `only ${taken} texts were taken`)
  })
})

function outcome(read: () => ApiKeys | undefined) {
  try {
    const keys = read()
    return keys === undefined ? undefined : describeKeys(keys)
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError)
    return thrown.problems
  }
}

function describeKeys(keys: ApiKeys) {
  return [...keys.entries()]
}

const anyScalar = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.constantFrom('acme', 'shop-1', 'a.b@c+d', '"Acme Inc."', '"a: b, { #"'),
  },
  fc.constantFrom('true', 'null', 'True', 'yes', 'y', '1', '0x1f', '1e3', '.inf', '~', "'q'"),
  fc.constantFrom(
    'a:b',
    'a b',
    'a #b',
    '"a\\tb"',
    '""',
    '" a"',
    '*x',
    '&x y',
    '!t z',
    '%a',
    '|',
    '-',
  ),
  fc.string({ maxLength: 5 }),
)

const anyMoment = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.constantFrom(
      '2026-11-01',
      '2026-11-01T10:00:00Z',
      '2026-11-01T10:00:00+02:00',
      '"2026-11-01"',
    ),
  },
  fc.constantFrom('2027-02-30', '20261101', '2026-11', '2026-11-01T10:00:00'),
)

const anyEntry = fc
  .record({
    id: fc.oneof({ weight: 40, arbitrary: fc.nat(400).map((i) => `k_${i}`) }, anyScalar),
    sha256: fc.oneof(
      { weight: 40, arbitrary: fc.nat(400).map((i) => `"${digestOf(String(i))}"`) },
      fc.nat(40).map((i) => digestOf(String(i))),
      fc.constantFrom(
        '"abc"',
        '1'.repeat(64),
        `"${'A'.repeat(64)}"`,
        `${'1'.repeat(10)}e${'1'.repeat(53)}`,
      ),
    ),
    product: fc.oneof({ weight: 40, arbitrary: fc.constant('payments') }, anyScalar),
    consumer: anyScalar,
    dates: fc.record({ notBefore: anyMoment, expires: anyMoment }, { requiredKeys: [] }),
    order: fc.boolean(),
    comment: fc.constantFrom('', '', '', '', '', ' # note', '  ', '#x', ' #\tx'),
  })
  .map(({ dates, order, comment, ...rest }) => {
    const fields = Object.entries({ ...rest, ...dates }).map(([key, value]) => `${key}: ${value}`)
    return `- { ${(order ? fields.reverse() : fields).join(', ')} }${comment}`
  })

const anyLine = fc.oneof(
  { weight: 60, arbitrary: anyEntry.map((entry) => `  ${entry}`) },
  { weight: 10, arbitrary: fc.constantFrom('', '   ', '  # comment', '# ä') },
  fc.constantFrom('- x', 'other: 1', '---', '...', '\t', '    a', '  -'),
  anyEntry,
)

const anyEdit = fc.record({
  at: fc.nat(600),
  character: fc.constantFrom(
    ...[' ', '"', '{', '}', ',', ':', '#', '\n', '\r', '\t', "'", '-', '1', '\u00a0', '\u2028'],
  ),
})

/** Files that are nearly right: each line may be something else, and one character may be another. */
const anyKeysText = fc
  .record({
    version: fc.oneof(
      { weight: 40, arbitrary: fc.constant('version: 1') },
      fc.constantFrom(
        'version: 1 # one',
        'version: 2',
        'version:  1',
        '# first\nversion: 1',
        ' version: 1',
      ),
    ),
    keys: fc.oneof(
      { weight: 40, arbitrary: fc.constant('keys:') },
      fc.constantFrom('keys: # all', 'keys:  ', 'keys: []', 'keys: x'),
    ),
    lines: fc.array(anyLine, { maxLength: 5 }),
    eol: fc.constantFrom('\n', '\n', '\r\n'),
    edit: fc.oneof({ weight: 3, arbitrary: fc.constant(null) }, anyEdit),
  })
  .map(({ version, keys, lines, eol, edit }) => {
    const text = [version, keys, ...lines, ''].join(eol)
    if (edit === null) return text
    const at = edit.at % text.length
    return text.slice(0, at) + edit.character + text.slice(at)
  })
