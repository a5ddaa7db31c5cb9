import assert from 'node:assert/strict'
import { formatPosition } from '../../src/policy/source-position.ts'
import { YamlSource } from '../../src/config/yaml-source.ts'
import { cpuTimeSince } from '../support/cpu-time.ts'
import { placesOf, problemsOf } from './support/problems.ts'

function parse(text: string, maxLength = 1_000_000): YamlSource {
  return YamlSource.parse(text, 'x.yaml', { maxLength })
}

describe('YamlSource', () => {
  const values: Readonly<Record<string, unknown>> = {
    'a: 1': { a: 1 },
    'a: 2026-11-01': { a: '2026-11-01' },
    'a: yes': { a: 'yes' },
    'a: 012': { a: 12 },
    'a: "1"': { a: '1' },
    'a: ~': { a: null },
    'a:': { a: null },
    '1: x': { 1: 'x' },
    'true: x': { true: 'x' },
    '- [a, {b: c}]': [['a', { b: 'c' }]],
    'a: &x [1, 2]\nb: *x': { a: [1, 2], b: [1, 2] },
    '<<: {a: 1}': { '<<': { a: 1 } },
    '%YAML 1.2\n---\na: yes': { a: 'yes' },
    '# nothing': null,
    '': null,
  }
  for (const [text, value] of Object.entries(values)) {
    it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parse(text).value, value))
  }

  const faults: Readonly<Record<string, readonly [text: string, place: string]>> = {
    'a key twice': ['a: 1\nb: 2\na: 3', 'x.yaml:3:1'],
    'a key twice in a flow map': ['x: {a: 1, a: 2}', 'x.yaml:1:11'],
    'a tag': ['a: !!binary aGk=', 'x.yaml:1:13'],
    'a tag of our own': ['a: !secret b', 'x.yaml:1:4'],
    'several documents': ['a: 1\n---\nb: 2', 'x.yaml:2:1'],
    'YAML 1.1': ['%YAML 1.1\n---\na: yes', 'x.yaml:1:1'],
    'a tab as indentation': ['a:\n\tb: 1', 'x.yaml:2:1'],
    'an alias without anchor': ['a: *x', 'x.yaml:1:4'],
    'a list as a key': ['? [a]\n: b', 'x.yaml:1:3'],
    'the key __proto__': ['__proto__: {a: 1}', 'x.yaml:1:1'],
    'an open bracket': ['a: [1', 'x.yaml:1:6'],
  }
  for (const [name, [text, place]] of Object.entries(faults)) {
    it(`refuses ${name}, and says where`, () => {
      assert.ok(placesOf(() => parse(text)).includes(place), String(placesOf(() => parse(text))))
    })
  }

  it('knows the place of each key and value', () => {
    const source = parse('a: 1\nlist:\n  - { b: 2 }\n  -   c: 3\n')
    const places = (path: (string | number)[]) => [
      formatPosition(source.keyPosition(path)),
      formatPosition(source.valuePosition(path)),
    ]
    assert.deepEqual(places(['a']), ['x.yaml:1:1', 'x.yaml:1:4'])
    assert.deepEqual(places(['list', 0]), ['x.yaml:3:5', 'x.yaml:3:5'])
    assert.deepEqual(places(['list', 0, 'b']), ['x.yaml:3:7', 'x.yaml:3:10'])
    assert.deepEqual(places(['list', 1, 'c']), ['x.yaml:4:7', 'x.yaml:4:10'])
  })

  it('gives the place around what is missing', () => {
    const source = parse('a: 1\nb:\n  c: 2\n')
    assert.equal(formatPosition(source.valuePosition(['b', 'missing'])), 'x.yaml:2:1')
    assert.equal(formatPosition(source.valuePosition(['missing'])), 'x.yaml:1:1')
  })

  describe('is bounded', () => {
    it('in length', () => {
      assert.equal(parse('a: 1', 4).value === null, false)
      assert.deepEqual(
        placesOf(() => parse('a: 12', 4)),
        ['x.yaml'],
      )
    })

    it('in depth', () => {
      const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
      assert.doesNotThrow(() => parse(nested(16)))
      assert.equal(placesOf(() => parse(nested(18))).length, 1)
    })

    const floods = { brackets: '[', dashes: '- ', maps: '{a: ', 'complex keys': '? ' }
    for (const [name, part] of Object.entries(floods)) {
      it(`in time, with a megabyte of ${name}`, () => {
        const text = part.repeat(1_000_000 / part.length)
        const begun = process.cpuUsage()
        assert.equal(problemsOf(() => parse(text)).length, 1)
        assert.ok(cpuTimeSince(begun) < 2_000)
      })
    }

    for (const [name, first] of [
      ['plain', 'k: 1\n'],
      ['other', 'k: &anchor 1\n'],
    ] as const) {
      it(`in time, with many keys in one map of ${name} YAML`, () => {
        const text = first + Array.from({ length: 20_000 }, (_, i) => `k${i}: 1\n`).join('')
        const begun = process.cpuUsage()
        assert.equal(Object.keys(parse(text).value as object).length, 20_001)
        assert.ok(cpuTimeSince(begun) < 8_000)
      })
    }

    it('in aliases', () => {
      const list = (count: number) => `a: &x 1\nb: [${Array(count).fill('*x').join(', ')}]`
      assert.doesNotThrow(() => parse(list(100)))
      assert.equal(problemsOf(() => parse(list(101))).length, 1)
    })

    it('in what aliases repeat', () => {
      const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
      for (let i = 1; i < 8; i++) {
        lines.push(
          `a${i}: &a${i} [${Array(9)
            .fill(`*a${i - 1}`)
            .join(', ')}]`,
        )
      }
      assert.equal(problemsOf(() => parse(lines.join('\n'))).length, 1)
    })

    it('in an alias of itself', () => {
      assert.equal(problemsOf(() => parse('a: &x [*x]')).length, 1)
    })
  })
})
