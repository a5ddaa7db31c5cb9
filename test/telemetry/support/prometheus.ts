import assert from 'node:assert/strict'

export interface MetricFamily {
  readonly help: string
  readonly type: string
  /** By name and labels as they are written. */
  readonly samples: Map<string, number>
}

const sampleShape =
  /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/

/** Reads the Prometheus text format 0.0.4, strictly: HELP, then TYPE, then the samples of that family, none twice. */
export function parsePrometheus(text: string): Map<string, MetricFamily> {
  assert.ok(text.endsWith('\n'))
  const families = new Map<string, MetricFamily>()
  let name = ''
  let help: string | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, described = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (keyword === 'HELP') {
      assert.ok(!families.has(described), `${described} is there twice`)
      name = described
      help = rest
    } else if (keyword === 'TYPE') {
      assert.equal(described, name)
      assert.ok(help !== undefined && help !== '')
      families.set(name, { help, type: rest, samples: new Map() })
    } else {
      addSample(families.get(name), name, line)
    }
  }
  return families
}

function addSample(family: MetricFamily | undefined, name: string, line: string): void {
  const [, sample = '', labels, value = ''] = sampleShape.exec(line) ?? []
  assert.ok(family && sample !== '', `no sample: ${line}`)
  const base = family.type === 'histogram' ? sample.replace(/_(bucket|sum|count)$/, '') : sample
  assert.equal(base, name)
  const key = labels === undefined ? sample : `${sample}{${labels}}`
  assert.ok(!family.samples.has(key), `${key} is there twice`)
  const number = value === '+Inf' ? Infinity : Number(value)
  assert.ok(!Number.isNaN(number), line)
  family.samples.set(key, number)
}
