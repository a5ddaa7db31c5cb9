import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { h2 } from '../../src/http2/errors.ts'
import type { ConnectionRule } from '../../src/http2/errors.ts'
import { huffmanEncode, huffmanLength } from '../../src/http2/hpack/huffman.ts'
import { frameType } from '../../src/http2/frames.ts'
import { cpuTimeSince } from '../support/cpu-time.ts'
import {
  controlBudget,
  maxContinuationFrames,
  maxHeaderBlockBytes,
  maxQueuedFrames,
  resetBudget,
  defaultLimits,
} from '../../src/http2/limits.ts'
import {
  block,
  continuation,
  data,
  END,
  frame,
  get,
  headers,
  headersInPieces,
  integer,
  literal,
  ping,
  post,
  priority,
  rstStream,
  setting,
  settings,
  windowUpdate,
} from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'

/** Far more than any limit; an attack that gets so far has won. */
const forEver = 20_000

interface Attack {
  readonly name: string
  /** What the attacker sends in its nth round. */
  readonly round: (n: number) => Buffer
  readonly rule: ConnectionRule
  /** The most rounds that are served. */
  readonly rounds: number
  readonly before?: Buffer
}

const id = (n: number) => 2 * n + 1

const oneByte = Buffer.from([0])

const attacks: Attack[] = [
  {
    name: 'rapid reset (CVE-2023-44487)',
    round: (n) => Buffer.concat([headers(id(n), get(), END), rstStream(id(n), h2.CANCEL)]),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'resets that we are made to send (CVE-2025-8671), by a window of nothing',
    round: (n) => Buffer.concat([headers(id(n), get(), END), windowUpdate(id(n), 0)]),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'resets that we are made to send (CVE-2025-8671), by DATA after the end',
    round: (n) => Buffer.concat([headers(id(n), get(), END), data(id(n), 'x')]),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'resets that we are made to send (CVE-2025-8671), by a stream that depends on itself',
    round: (n) => Buffer.concat([headers(id(n), get(), END), priority(id(n), id(n))]),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'malformed requests',
    round: (n) => headers(id(n), ['x', 'y'], END),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'names of no length (CVE-2019-9516)',
    round: (n) => headers(id(n), get('', '', '', ''), END),
    rule: 'reset_flood',
    rounds: resetBudget.burst,
  },
  {
    name: 'streams above the limit',
    round: (n) => headers(id(n), get(), END),
    rule: 'reset_flood',
    rounds: defaultLimits.maxConcurrentStreams + resetBudget.burst,
  },
  {
    name: 'RST_STREAM on a stream that is gone (CVE-2019-9514)',
    before: Buffer.concat([headers(1, get(), END), rstStream(1, h2.CANCEL)]),
    round: () => rstStream(1, h2.CANCEL),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'PING (CVE-2019-9512)',
    round: () => ping(),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'SETTINGS (CVE-2019-9515)',
    round: () => settings(),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'SETTINGS of many entries',
    round: () => settings(...Array.from({ length: 2_000 }, () => [0x99, 1]).flat()),
    rule: 'control_flood',
    rounds: controlBudget.burst / 125,
  },
  {
    name: 'PRIORITY (CVE-2019-9513)',
    round: (n) => priority(id(n), id(n + 1)),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'DATA of no bytes (CVE-2019-9518)',
    before: headers(1, post()),
    round: () => data(1, ''),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'DATA of padding only (CVE-2019-9518)',
    before: headers(1, post()),
    round: () => frame(frameType.DATA, 0x8, 1, Buffer.concat([Buffer.from([9]), Buffer.alloc(9)])),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'WINDOW_UPDATE for nothing sent (CVE-2019-9517)',
    before: headers(1, get(), END),
    round: () => Buffer.concat([windowUpdate(0, 1), windowUpdate(1, 1)]),
    rule: 'control_flood',
    rounds: controlBudget.burst / 2,
  },
  {
    name: 'unknown frames',
    round: () => frame(0xee, 0, 0, 'abc'),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'DATA on a stream that we reset',
    before: headers(1, ['x', 'y']),
    round: () => data(1, 'x'),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'HEADERS on a stream that we reset',
    before: headers(1, ['x', 'y']),
    round: () => headers(1, ['x', 'y']),
    rule: 'control_flood',
    rounds: controlBudget.burst,
  },
  {
    name: 'CONTINUATION of no bytes (CVE-2024-27983)',
    before: headersInPieces(1, block(get()), 20)[0] ?? Buffer.alloc(0),
    round: () => continuation(1, Buffer.alloc(0)),
    rule: 'continuation_flood',
    rounds: maxContinuationFrames,
  },
  {
    name: 'CONTINUATION of many bytes (CVE-2024-28182)',
    before: headersInPieces(1, block(get()), 20)[0] ?? Buffer.alloc(0),
    round: () => continuation(1, Buffer.alloc(16_384)),
    rule: 'header_block_too_large',
    rounds: maxHeaderBlockBytes(defaultLimits) / 16_384,
  },
]

describe('attacks on a connection', () => {
  for (const { name, round, rule, rounds, before } of attacks) {
    it(`${name}: ${rule}`, () => {
      const bench = Bench.server()
      if (before !== undefined) bench.receive(before)
      let served = 0
      while (!bench.connection.isDead && served < forEver) {
        bench.receive(round(served++))
        bench.output()
      }
      assert.deepEqual(bench.events.faults, [{ rule, code: h2.ENHANCE_YOUR_CALM }])
      assert.ok(served <= rounds + 2, `${served} rounds`)
      assert.ok(served >= rounds * 0.9, `${served} rounds`)
    })
  }

  it('rapid reset in one chunk costs no more than the same in many', () => {
    const bench = Bench.server()
    bench.receive(
      ...Array.from({ length: 5_000 }, (_, n) => [
        headers(id(n), get(), END),
        rstStream(id(n), h2.CANCEL),
      ]).flat(),
    )
    assert.equal(bench.events.faults[0]?.rule, 'reset_flood')
    assert.ok(bench.events.heads.size <= resetBudget.burst + 1)
  })

  for (const [what, body] of [
    ['with a body', true],
    ['without one', false],
  ] as const) {
    it(`requests that we answer by ourselves ${what} are paid for as control frames`, () => {
      const bench = Bench.server()
      bench.events.answer = (stream) => {
        bench.connection.respond(stream, 401, [], !body)
        if (body) bench.connection.sendData(stream, Buffer.from('no'), true)
        bench.connection.refused(stream)
      }
      let asked = 0
      while (!bench.connection.isDead && asked < forEver) {
        bench.receive(headers(id(asked++), get(), END))
        bench.output()
      }
      assert.equal(bench.events.faults[0]?.rule, 'control_flood')
      assert.ok(Math.abs(asked - controlBudget.burst) < 0.1 * controlBudget.burst, String(asked))
    })
  }

  it('requests that are served pay for eight that we answer by ourselves', () => {
    const bench = Bench.server()
    let asked = 0
    bench.events.answer = (stream) => {
      const isRefused = asked % 9 !== 0
      bench.connection.respond(stream, isRefused ? 401 : 200, [], true)
      if (isRefused) bench.connection.refused(stream)
    }
    while (asked < 20_000) {
      bench.receive(headers(id(asked++), get(), END))
      bench.output()
    }
    assert.deepEqual(bench.events.faults, [])
  })

  it('a peer that does not read cannot make us answer without end: output_flood', () => {
    const bench = Bench.server()
    let sent = 0
    while (!bench.connection.isDead && sent < forEver) {
      bench.nowMs += 1_000 / controlBudget.perSecond
      bench.receive(ping())
      sent++
    }
    assert.equal(bench.events.faults[0]?.rule, 'output_flood')
    assert.ok(sent <= maxQueuedFrames + 2, String(sent))
    const waiting = bench.output().length
    assert.ok(waiting < 17 * (maxQueuedFrames + 10), `${waiting} bytes`)
  })

  it('a window opened byte by byte ends the connection before it costs much: control_flood', () => {
    const bench = Bench.server({}, setting.INITIAL_WINDOW_SIZE, 0)
    bench.receive(headers(1, get(), END))
    bench.connection.respond(bench.stream(1), 200, [], false)
    bench.connection.sendData(bench.stream(1), Buffer.alloc(1_000_000), true)
    let sent = 0
    while (!bench.connection.isDead && sent++ < forEver) {
      bench.receive(windowUpdate(1, 1))
      bench.output()
    }
    assert.equal(bench.events.faults[0]?.rule, 'control_flood')
    assert.ok(bench.events.drained < 1.1 * controlBudget.burst)
  })

  it('an HPACK bomb is refused with 431, and what it unpacks to is never kept', () => {
    const bench = Bench.server()
    const bomb = Buffer.concat([
      block(get()),
      literal(0x40, 'x-bomb', 'b'.repeat(4_000)),
      Buffer.alloc(11_000, 0x80 | 62),
    ])
    const before = heapBytes()
    for (let n = 0; n < 50; n++) {
      bench.receive(frame(frameType.HEADERS, END | 4, id(n), n === 0 ? bomb : bomb.subarray(0, 10)))
    }
    assert.deepEqual(bench.log[0], 'refused 1 header_list_too_large')
    assertGrowth(before, 1_000_000)
  })

  it('the longest header block of Huffman codes costs milliseconds', () => {
    const bench = Bench.server()
    // Thirty bits a character, the slowest there are.
    const text = '\n'.repeat(4_000)
    const value = Buffer.alloc(huffmanLength(text))
    huffmanEncode(text, value, 0)
    const length = integer(value.length, 0x7f)
    length[0] = 0xff
    const slow = Buffer.concat([block(get()), Buffer.from([0x00, 1, 0x61]), length, value])
    const begun = process.cpuUsage()
    for (let n = 0; n < 4; n++) bench.receive(frame(frameType.HEADERS, END | 4, id(n), slow))
    assert.ok(cpuTimeSince(begun) < 300)
    assert.deepEqual(bench.events.violations, Array(4).fill('field_value_invalid'))
  })

  it('frames that are announced and come byte by byte cost little more than their bytes', () => {
    const benches = Array.from({ length: 200 }, () => Bench.server())
    const head = frame(frameType.HEADERS, 4, 1, Buffer.alloc(16_384)).subarray(0, 9)
    const before = bufferBytes()
    for (const bench of benches) {
      bench.receive(head)
      for (let i = 0; i < 1_000; i++) bench.connection.receive(oneByte, bench.nowMs)
    }
    const each = (bufferBytes() - before) / benches.length
    assert.ok(each < 4_000, `${each} bytes each`)
    assert.equal(benches[0]?.connection.isReceivingHeaders, true)
  })

  it('forty thousand streams leave nothing behind', () => {
    const bench = Bench.server()
    bench.events.answer = (stream) => {
      bench.connection.respond(stream, 204, [], true)
      bench.events.log.length = 0
      bench.events.streams.clear()
      bench.events.heads.clear()
    }
    const rounds = (from: number, to: number) => {
      for (let n = from; n < to; n++) {
        bench.receive(headers(id(n), get('x-id', String(n)), END))
        bench.connection.takeOutput()
      }
    }
    rounds(0, 10_000)
    const before = heapBytes()
    rounds(10_000, 40_000)
    assertGrowth(before, 1_000_000)
    assert.equal(bench.connection.isDead, false)
  })

  it('streams that wait for a window that never opens are gone when they are reset', () => {
    const bench = Bench.server({}, setting.INITIAL_WINDOW_SIZE, 100_000)
    const body = Buffer.alloc(66_000)
    bench.events.answer = (stream) => {
      bench.connection.respond(stream, 200, [], false)
      bench.connection.sendData(stream, body)
    }
    bench.receive(headers(1, get(), END))
    bench.output()
    const before = heapBytes()
    for (let n = 1; n < 6_000; n++) {
      bench.nowMs += 1_000
      bench.receive(headers(id(n), get(), END))
      bench.output()
      bench.receive(rstStream(id(n), h2.CANCEL))
      bench.events.streams.clear()
      bench.events.heads.clear()
      bench.events.log.length = 0
    }
    assert.equal(bench.connection.isDead, false)
    assertGrowth(before, 1_000_000)
  })
})

describe('honest peers', () => {
  it('may cancel as many calls as they finish', () => {
    const bench = Bench.server()
    for (let n = 0; n < 5_000; n++) {
      bench.receive(headers(id(n), get(), END))
      if (n % 2 === 0) bench.receive(rstStream(id(n), h2.CANCEL))
      else bench.connection.respond(bench.stream(id(n)), 204, [], true)
      bench.output()
    }
    assert.equal(bench.connection.isDead, false)
  })

  it('may break off every upload that was answered already', () => {
    const bench = Bench.server()
    for (let n = 0; n < 1_000; n++) {
      bench.receive(headers(id(n), post()))
      bench.connection.respond(bench.stream(id(n)), 413, [], true)
      bench.receive(rstStream(id(n), h2.CANCEL))
      bench.output()
    }
    assert.equal(bench.connection.isDead, false)
  })

  it('may cancel at the sustained rate for ever', () => {
    const bench = Bench.server()
    for (let n = 0; n < 5_000; n++) {
      bench.nowMs += 1_000 / resetBudget.perSecond
      bench.receive(headers(id(n), get(), END), rstStream(id(n), h2.CANCEL))
      bench.output()
    }
    assert.equal(bench.connection.isDead, false)
  })

  it('may ping with every call and update both windows with every piece', () => {
    const bench = Bench.server()
    for (let n = 0; n < 3_000; n++) {
      bench.receive(headers(id(n), get(), END), ping(), settings())
      const stream = bench.stream(id(n))
      bench.connection.respond(stream, 200, [], false)
      bench.connection.sendData(stream, Buffer.alloc(500), true)
      bench.output()
      bench.receive(windowUpdate(0, 500), windowUpdate(id(n), 500))
    }
    assert.equal(bench.connection.isDead, false)
  })

  it('may ping at the sustained rate for ever', () => {
    const bench = Bench.server()
    for (let n = 0; n < 10_000; n++) {
      bench.nowMs += 1_000 / controlBudget.perSecond
      bench.receive(ping())
      bench.output()
    }
    assert.equal(bench.connection.isDead, false)
  })

  it('may keep a large upload on its way after we gave it up', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()))
    bench.connection.reset(bench.stream(1), h2.NO_ERROR)
    for (let i = 0; i < 64; i++) bench.receive(data(1, Buffer.alloc(16_384)))
    bench.receive(data(1, '', END), headers(3, get(), END))
    assert.equal(bench.log.at(-1), 'request 3 GET / end')
  })

  it('of a workload may have many of their streams reset', () => {
    const bench = Bench.client()
    const target = { method: 'GET', scheme: 'http', authority: 'a', path: '/' }
    for (let n = 0; n < 2_000; n++) {
      assert.notEqual(bench.connection.request(target, [], n % 2 === 0), 'refused')
      bench.output()
      bench.receive(rstStream(id(n), h2.REFUSED_STREAM))
    }
    assert.equal(bench.connection.isDead, false)
  })
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function assertGrowth(before: number, limit: number): void {
  const grown = heapBytes() - before
  assert.ok(grown < limit, `${grown} bytes`)
}

/** Twice, because buffers are freed only after their objects. */
function heapBytes(): number {
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function bufferBytes(): number {
  collect()
  collect()
  return process.memoryUsage().arrayBuffers
}
