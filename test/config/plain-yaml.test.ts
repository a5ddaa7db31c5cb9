import assert from 'node:assert/strict'
import fc from 'fast-check'
import { readPlainYaml } from '../../src/config/plain-yaml.ts'
import { ConfigError } from '../../src/config/problem.ts'
import { type Path, YamlSource } from '../../src/config/yaml-source.ts'

/** Everything that a source says: each value with its two places. */
function describeSource(
  source: YamlSource,
  value: unknown = source.value,
  path: Path = [],
): unknown {
  const place = [source.keyPosition(path), source.valuePosition(path)].map(
    ({ line, column }) => `${line}:${column}`,
  )
  if (Array.isArray(value)) {
    return [place, value.map((child, i) => describeSource(source, child, [...path, i]))]
  }
  if (typeof value !== 'object' || value === null) return [place, value]
  const children = Object.entries(value).map(([key, child]) => [
    key,
    describeSource(source, child, [...path, key]),
  ])
  return [place, children]
}

const limits = { maxLength: 100_000 }

/** undefined: the text is left to the YAML parser. */
function readPlain(text: string): unknown {
  if (readPlainYaml(text) === undefined) return undefined
  return describeSource(YamlSource.parse(text, 'x.yaml', limits))
}

function readAny(text: string): unknown {
  try {
    return describeSource(YamlSource.parseAny(text, 'x.yaml'))
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError)
    return thrown.message
  }
}

describe('readPlainYaml', () => {
  const plain: Readonly<Record<string, string>> = {
    'maps and lists': 'a:\n  b: 1\n  c:\n    - x\n    - y\nd: z\n',
    'lists at the indent of their key': 'a:\n- x\n- y\nb: z\n',
    'maps in lists': 'a:\n  - b: 1\n    c: 2\n  - b: 3\n',
    'items below their dash': 'a:\n  -\n    b: 1\n  - # next\n    - x\n',
    'flow maps and lists': 'a: { b: [1, "x, y"], c: {}, d: [ ], e: {f: g} }\n',
    'quoted texts': `a: "x: y # z"\n"b c": 'it "is"'\n`,
    'texts that look like other things': 'a: http://x/*?y&z#w\nb: 127.0.0.1:80\nc: x #y\n',
    comments: '# first\na: 1 # one\n\n   # two\nb:  # below\n  c: d\n#last',
    'numbers and truth': 'a: 0\nb: 123456789\nc: true\nd: False\ne: 1x\nf: 2026-11-01\n',
    'letters of Latin alphabets': 'a: für Händler # ❤\nb: "Škoda"\n',
    'Windows line ends': 'a:\r\n  - b: 1\r\n\r\n  - c\r\n',
  }
  for (const [name, text] of Object.entries(plain)) {
    it(`reads ${name} as the YAML parser does`, () => {
      assert.ok(readPlain(text) !== undefined)
      assert.deepEqual(readPlain(text), readAny(text))
    })
  }

  const others: Readonly<Record<string, string>> = {
    'an anchor': 'a: &x b\n',
    'an alias': 'a: *x\n',
    'a tag': 'a: !!str 1\n',
    'a block text': 'a: |\n  b\n',
    'a text over two lines': 'a: b\n  c\n',
    'a quoted text over two lines': 'a: "b\n  c"\n',
    'a flow map over two lines': 'a: { b: 1,\n  c: 2 }\n',
    'an escape': 'a: "b\\tc"\n',
    'a doubled quote': "a: 'it''s'\n",
    'a tab': 'a:\tb\n',
    null: 'a: null\n',
    'a key without value': 'a:\nb: 1\n',
    'a number of another spelling': 'a: 1.5\n',
    'a key twice': 'a: 1\na: 2\n',
    'a key twice in a flow map': 'a: { b: 1, b: 2 }\n',
    __proto__: '__proto__: { a: 1 }\n',
    'a document marker': '---\na: 1\n',
    'a directive': '%YAML 1.2\n---\na: 1\n',
    'a list at the top': '- a\n',
    'a text at the top': 'a\n',
    nothing: '',
    'another script': 'a: \u65e5\u672c\n',
    'a list after a map': 'a:\n  - b\n- c\n',
    'a nested dash': 'a:\n  - - b\n',
    'too deep an indent': 'a: b\n  c: d\n',
    'too little an indent': 'a:\n    b: 1\n  c: 2\n',
    'a trailing comma': 'a: [1, ]\n',
    depth: `a: ${'['.repeat(14)}${']'.repeat(14)}\n`,
  }
  for (const [name, text] of Object.entries(others)) {
    it(`leaves ${name} to the YAML parser`, () => assert.equal(readPlain(text), undefined))
  }

  it('means what the YAML parser says, values and places, or leaves the text to it', () => {
    let taken = 0
    fc.assert(
      fc.property(anyText, (text) => {
        const read = readPlain(text)
        if (read === undefined) return
        taken++
        assert.deepEqual(read, readAny(text))
      }),
      { numRuns: 1_000 },
    )
    assert.ok(taken > 120, `only ${taken} texts were taken`)
  })
})

const anyScalar = fc.oneof(
  {
    weight: 150,
    arbitrary: fc.constantFrom(
      ...[
        'x',
        'a b',
        '12',
        'true',
        'spiffe://a.example/x/**',
        '127.0.0.1:80',
        '2026-11-01',
        '/v1/**',
      ],
      ...['"q: #"', "'s'", '100/s', 'a#b', "it's", 'a,b', 'x{y}', 'è', '0x', '.a', '1e', 'a:b'],
    ),
  },
  fc.constantFrom(
    ...['null', '~', '1.5', '0x1f', '0o7', '1e3', '.inf', '.5', '-1', '+1', '012', '', '*', '&a b'],
    ...['!t a', '"\\n"', "''", '""', '-', '?', '|', '>', '@', '`', '%', ': a', 'a: b', 'a #b', '#'],
    ...['a:', '[', ']', '{', '}', ',', '[a', 'a]', '"', "'", 'a\tb', '\u00a0', '\u2028', '\ufeff'],
  ),
)

const anyKey = fc.oneof(
  { weight: 150, arbitrary: fc.constantFrom('a', 'b', 'c', 'd-e', 'f_g', '1', 'true', '"q r"') },
  fc.constantFrom('"x', "'y'", 'a b', '-z', '? a', 'é', '*a', '<<', 'null', '"a"'),
)

const { flow } = fc.letrec<{ flow: string; list: string; map: string }>((tie) => ({
  flow: fc.oneof({ depthSize: 'small' }, anyScalar, tie('list'), tie('map')),
  list: fc
    .tuple(
      fc.array(tie('flow'), { maxLength: 3 }),
      fc.constantFrom('[', '[ '),
      fc.constantFrom(',', ', '),
    )
    .map(([items, open, comma]) => `${open}${items.join(comma)}]`),
  map: fc
    .array(fc.tuple(anyKey, tie('flow')), { maxLength: 3 })
    .map((pairs) => `{ ${pairs.map(([key, value]) => `${key}: ${value}`).join(', ')} }`),
}))

const comment = fc.oneof(
  { weight: 30, arbitrary: fc.constantFrom('', '', '', ' # x', '  ', ' #') },
  fc.constantFrom('#x', '\t# x'),
)

/** Lines of a block, without indent. */
const { block, map: blockMap } = fc.letrec<{ block: string[]; map: string[]; list: string[] }>(
  (tie) => ({
    block: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('map'), tie('list')),
    map: fc
      .array(
        fc.tuple(
          anyKey,
          fc.oneof({ depthSize: 'small' }, flow, tie('block')),
          comment,
          fc.constantFrom('  ', '  ', '  ', '    ', ' '),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((entries) =>
        entries.flatMap(([key, value, note, indent]) =>
          typeof value === 'string'
            ? [`${key}: ${value}${note}`]
            : [`${key}:${note}`, ...value.map((line) => indent + line)],
        ),
      ),
    list: fc
      .array(fc.tuple(fc.oneof({ depthSize: 'small' }, flow, tie('block')), fc.boolean()), {
        minLength: 1,
        maxLength: 3,
      })
      .map((items) =>
        items.flatMap(([value, below]) => {
          if (typeof value === 'string') return [`- ${value}`]
          const lines = value.map((line) => `  ${line}`)
          return below ? ['-', ...lines] : [`- ${value[0] ?? ''}`, ...lines.slice(1)]
        }),
      ),
  }),
)

const anyEdit = fc.record({
  at: fc.nat(400),
  piece: fc.constantFrom(
    ' ',
    '  ',
    '\n',
    '\r',
    '\t',
    '#',
    ':',
    '-',
    '"',
    "'",
    ',',
    '{',
    ']',
    '\n\n',
    '\u2028',
  ),
})

/** Block YAML as people write it, sometimes with an odd piece in it. */
const anyText = fc
  .tuple(
    fc.oneof({ weight: 20, arbitrary: blockMap }, block),
    fc.constantFrom('\n', '\n', '\n', '\r\n'),
    fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, anyEdit),
  )
  .map(([lines, eol, edit]) => {
    const text = lines.join(eol) + eol
    if (edit === undefined) return text
    const at = edit.at % text.length
    return text.slice(0, at) + edit.piece + text.slice(at)
  })
