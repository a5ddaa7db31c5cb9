import assert from 'node:assert/strict'
import { connectionRules, h2, streamRules } from '../../src/http2/errors.ts'
import type { ConnectionRule, StreamRule } from '../../src/http2/errors.ts'
import { clientPreface, frameFlag, frameType } from '../../src/http2/frames.ts'
import {
  block,
  continuation,
  data,
  END,
  END_HEADERS,
  frame,
  get,
  goaway,
  headers,
  headersInPieces,
  ping,
  post,
  preface,
  priority,
  rstStream,
  setting,
  settings,
  settingsAck,
  uint32,
  windowUpdate,
} from './support/raw-frames.ts'
import { Bench } from './support/recorder.ts'

const { PADDED, PRIORITY } = frameFlag

describe('connection errors of RFC 9113', () => {
  interface ConnectionCase {
    readonly name: string
    readonly frames: readonly Buffer[]
    readonly rule: ConnectionRule
    readonly code: number
    readonly role?: 'client'
  }

  const openRequest = headers(1, post())
  const wholeRequest = headers(1, get(), END)
  const beginning = headersInPieces(1, block(get()), 20, END)[0] ?? Buffer.alloc(0)

  const cases: ConnectionCase[] = [
    // 4.1, 4.2
    {
      name: 'a frame above our largest',
      frames: [Buffer.from([0, 0x40, 1, 0, 0, 0, 0, 0, 1])],
      rule: 'frame_too_large',
      code: h2.FRAME_SIZE_ERROR,
    },
    {
      name: 'an unknown frame above our largest',
      frames: [Buffer.from([0xff, 0xff, 0xff, 0xee, 0, 0, 0, 0, 0])],
      rule: 'frame_too_large',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 4.3
    {
      name: 'a header block that does not decode',
      frames: [frame(frameType.HEADERS, END_HEADERS | END, 1, [0x80])],
      rule: 'hpack_invalid',
      code: h2.COMPRESSION_ERROR,
    },
    {
      name: 'a header block that does not decode, on a stream that is gone',
      frames: [
        openRequest,
        rstStream(1, 8),
        frame(frameType.HEADERS, END_HEADERS | END, 1, [0x80]),
      ],
      rule: 'hpack_invalid',
      code: h2.COMPRESSION_ERROR,
    },
    // 5.1
    {
      name: 'DATA on an idle stream',
      frames: [data(1, 'x')],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'RST_STREAM on an idle stream',
      frames: [rstStream(1, 8)],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'WINDOW_UPDATE on an idle stream',
      frames: [windowUpdate(1, 1)],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'WINDOW_UPDATE on an even stream',
      frames: [wholeRequest, windowUpdate(2, 1)],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'HEADERS on a stream of ours that is idle',
      role: 'client',
      frames: [headers(1, [':status', '200'])],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'HEADERS on a stream that a server opens',
      role: 'client',
      frames: [headers(2, [':status', '200'])],
      rule: 'stream_idle',
      code: h2.PROTOCOL_ERROR,
    },
    // 5.1.1
    {
      name: 'an even stream',
      frames: [headers(2, get(), END)],
      rule: 'stream_id_parity',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'a stream below the last',
      frames: [headers(5, get(), END), headers(3, get(), END)],
      rule: 'stream_id_not_increasing',
      code: h2.PROTOCOL_ERROR,
    },
    // 6.1, 6.2
    {
      name: 'DATA on stream 0',
      frames: [data(0, 'x')],
      rule: 'stream_id_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'padding as long as DATA',
      frames: [openRequest, data(1, '\x01', PADDED)],
      rule: 'padding_too_long',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'padded DATA of no bytes',
      frames: [openRequest, data(1, '', PADDED)],
      rule: 'padding_too_long',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'HEADERS on stream 0',
      frames: [headers(0, get(), END)],
      rule: 'stream_id_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'padding longer than HEADERS',
      frames: [frame(frameType.HEADERS, END_HEADERS | PADDED, 1, '\x09abc')],
      rule: 'padding_too_long',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'HEADERS too short for its priority',
      frames: [frame(frameType.HEADERS, END_HEADERS | PRIORITY, 1, 'abc')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 6.3
    {
      name: 'PRIORITY on stream 0',
      frames: [priority(0, 1)],
      rule: 'stream_id_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PRIORITY of four bytes on an idle stream',
      frames: [frame(frameType.PRIORITY, 0, 1, uint32(0))],
      rule: 'priority_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    {
      name: 'an idle stream that depends on itself',
      frames: [priority(1, 1)],
      rule: 'priority_self_dependency',
      code: h2.PROTOCOL_ERROR,
    },
    // 6.4
    {
      name: 'RST_STREAM on stream 0',
      frames: [rstStream(0, 8)],
      rule: 'stream_id_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'RST_STREAM of three bytes',
      frames: [openRequest, frame(frameType.RST_STREAM, 0, 1, 'abc')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 6.5
    {
      name: 'SETTINGS on a stream',
      frames: [frame(frameType.SETTINGS, 0, 1)],
      rule: 'stream_id_not_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'SETTINGS of five bytes',
      frames: [frame(frameType.SETTINGS, 0, 0, 'abcde')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    {
      name: 'an acknowledgement that says something',
      frames: [frame(frameType.SETTINGS, frameFlag.ACK, 0, settings(1, 1).subarray(9))],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    {
      name: 'ENABLE_PUSH of 2',
      frames: [settings(setting.ENABLE_PUSH, 2)],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'ENABLE_PUSH of 1 from a server',
      role: 'client',
      frames: [settings(setting.ENABLE_PUSH, 1)],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'INITIAL_WINDOW_SIZE of 2^31',
      frames: [settings(setting.INITIAL_WINDOW_SIZE, 2 ** 31)],
      rule: 'initial_window_too_large',
      code: h2.FLOW_CONTROL_ERROR,
    },
    {
      name: 'MAX_FRAME_SIZE of 16383',
      frames: [settings(setting.MAX_FRAME_SIZE, 16_383)],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'MAX_FRAME_SIZE of 2^24',
      frames: [settings(setting.MAX_FRAME_SIZE, 2 ** 24)],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'ENABLE_CONNECT_PROTOCOL of 2',
      role: 'client',
      frames: [settings(setting.ENABLE_CONNECT_PROTOCOL, 2)],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'ENABLE_CONNECT_PROTOCOL taken back',
      role: 'client',
      frames: [
        settings(setting.ENABLE_CONNECT_PROTOCOL, 1),
        settings(setting.ENABLE_CONNECT_PROTOCOL, 0),
      ],
      rule: 'setting_invalid',
      code: h2.PROTOCOL_ERROR,
    },
    // 6.6
    {
      name: 'PUSH_PROMISE from a client',
      frames: [openRequest, frame(frameType.PUSH_PROMISE, END_HEADERS, 1, uint32(2))],
      rule: 'push_refused',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PUSH_PROMISE from a server',
      role: 'client',
      frames: [frame(frameType.PUSH_PROMISE, END_HEADERS, 1, uint32(2))],
      rule: 'push_refused',
      code: h2.PROTOCOL_ERROR,
    },
    // 6.7
    {
      name: 'PING on a stream',
      frames: [frame(frameType.PING, 0, 1, '12345678')],
      rule: 'stream_id_not_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PING of seven bytes',
      frames: [ping('1234567')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 6.8
    {
      name: 'GOAWAY on a stream',
      frames: [frame(frameType.GOAWAY, 0, 1, '12345678')],
      rule: 'stream_id_not_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'GOAWAY of seven bytes',
      frames: [frame(frameType.GOAWAY, 0, 0, '1234567')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 6.9
    {
      name: 'WINDOW_UPDATE of three bytes',
      frames: [frame(frameType.WINDOW_UPDATE, 0, 0, 'abc')],
      rule: 'frame_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    {
      name: 'WINDOW_UPDATE of the connection by nothing',
      frames: [windowUpdate(0, 0)],
      rule: 'window_increment_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'a connection window above 2^31-1',
      frames: [windowUpdate(0, 2 ** 31 - 1)],
      rule: 'window_overflow',
      code: h2.FLOW_CONTROL_ERROR,
    },
    {
      name: 'a stream window above 2^31-1 by SETTINGS',
      frames: [
        openRequest,
        windowUpdate(1, 65_535),
        settings(setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1),
      ],
      rule: 'initial_window_too_large',
      code: h2.FLOW_CONTROL_ERROR,
    },
    // 6.10
    {
      name: 'CONTINUATION without HEADERS',
      frames: [continuation(1, Buffer.alloc(0), END_HEADERS)],
      rule: 'continuation_unexpected',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'CONTINUATION after END_HEADERS',
      frames: [openRequest, continuation(1, Buffer.alloc(0))],
      rule: 'continuation_unexpected',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'CONTINUATION of another stream',
      frames: [beginning, continuation(3, Buffer.alloc(0))],
      rule: 'continuation_expected',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'DATA within a header block',
      frames: [beginning, data(1, 'x')],
      rule: 'continuation_expected',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PING within a header block',
      frames: [beginning, ping()],
      rule: 'continuation_expected',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'an unknown frame within a header block',
      frames: [beginning, frame(0xee, 0, 0)],
      rule: 'continuation_expected',
      code: h2.PROTOCOL_ERROR,
    },
  ]

  for (const { name, frames, rule, code, role } of cases) {
    it(`${name}: ${rule}`, () => {
      const bench = role === 'client' ? Bench.client() : Bench.server()
      bench.receive(...frames)
      assert.deepEqual(bench.events.faults, [{ rule, code }])
      assert.equal(connectionRules[rule], code)
      const last = bench.frames().at(-1) ?? ''
      assert.match(last, new RegExp(`^GOAWAY last=\\d+ code=${code}$`))
      bench.receive(headers(7, get(), END))
      assert.equal(bench.output().length, 0, 'nothing is said after GOAWAY')
      assert.equal(bench.connection.isDead, true)
    })
  }

  it('frames after both sides ended the stream: stream_ended', () => {
    for (const late of [data(1, 'x'), headers(1, ['a', 'b'], END)]) {
      const bench = Bench.server()
      bench.receive(wholeRequest)
      bench.connection.respond(bench.stream(1), 204, [], true)
      bench.receive(late)
      assert.deepEqual(bench.events.faults, [{ rule: 'stream_ended', code: h2.STREAM_CLOSED }])
    }
  })

  it('more DATA than the window of the connection: window_exceeded', () => {
    const limits = { streamWindowBytes: 100_000, connectionWindowBytes: 65_535 }
    const bench = Bench.server({ limits })
    bench.receive(openRequest)
    for (let i = 0; i < 3; i++) bench.receive(data(1, 'x'.repeat(16_384)))
    bench.receive(data(1, 'x'.repeat(16_383)))
    assert.deepEqual(bench.events.faults, [])
    bench.receive(data(1, 'x'))
    assert.deepEqual(bench.events.faults, [
      { rule: 'window_exceeded', code: h2.FLOW_CONTROL_ERROR },
    ])
  })

  describe('of the preface', () => {
    it('wrong bytes: preface_invalid, with the first of them', () => {
      const bench = Bench.untouchedServer()
      bench.receive(Buffer.from('GET / HTTP/1.1\r\n'))
      assert.deepEqual(bench.events.faults, [{ rule: 'preface_invalid', code: h2.PROTOCOL_ERROR }])
    })

    it('anything before SETTINGS: settings_expected', () => {
      for (const first of [ping(), settingsAck(), headers(1, get(), END), frame(0xee, 0, 0)]) {
        const bench = Bench.untouchedServer()
        bench.receive(Buffer.from(clientPreface), first)
        assert.equal(bench.events.faults[0]?.rule, 'settings_expected')
        const client = Bench.untouchedClient()
        client.receive(first)
        assert.equal(client.events.faults[0]?.rule, 'settings_expected')
      }
    })

    it('is right byte by byte too', () => {
      const bench = Bench.untouchedServer()
      for (const byte of preface()) {
        assert.equal(bench.connection.isReceivingHeaders, true)
        bench.receive(Buffer.from([byte]))
      }
      assert.equal(bench.connection.isReceivingHeaders, false)
      assert.deepEqual(bench.log, ['settings'])
    })
  })

  it('end every open stream', () => {
    const bench = Bench.server()
    bench.receive(openRequest, headers(3, get(), END), ping('short'))
    assert.deepEqual(bench.log, [
      ...['request 1 POST /', 'request 3 GET / end'],
      ...[`reset 1 code=${h2.FRAME_SIZE_ERROR} connection`],
      ...[`reset 3 code=${h2.FRAME_SIZE_ERROR} connection`],
      `error frame_size_invalid code=${h2.FRAME_SIZE_ERROR}`,
    ])
    assert.deepEqual(bench.frames(), [`GOAWAY last=3 code=${h2.FRAME_SIZE_ERROR}`])
  })
})

describe('stream errors of RFC 9113', () => {
  interface StreamCase {
    readonly name: string
    readonly frames: readonly Buffer[]
    readonly rule: StreamRule
    readonly code: number
  }

  const half = headers(1, get(), END)
  const open = headers(1, post())
  const cases: StreamCase[] = [
    // 5.1, half-closed (remote)
    {
      name: 'DATA after the end',
      frames: [half, data(1, 'x')],
      rule: 'stream_closed',
      code: h2.STREAM_CLOSED,
    },
    {
      name: 'HEADERS after the end',
      frames: [half, headers(1, ['a', 'b'], END)],
      rule: 'stream_closed',
      code: h2.STREAM_CLOSED,
    },
    // 5.1, closed
    {
      name: 'DATA after RST_STREAM',
      frames: [open, rstStream(1, 8), data(1, 'x')],
      rule: 'stream_closed',
      code: h2.STREAM_CLOSED,
    },
    {
      name: 'HEADERS after RST_STREAM',
      frames: [open, rstStream(1, 8), headers(1, ['a', 'b'], END)],
      rule: 'stream_closed',
      code: h2.STREAM_CLOSED,
    },
    // RFC 7540 5.3.1, 6.3
    {
      name: 'a request that depends on itself',
      frames: [dependent(1, 1)],
      rule: 'priority_self_dependency',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'trailers that depend on themselves',
      frames: [open, dependent(1, 1)],
      rule: 'priority_self_dependency',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PRIORITY on itself',
      frames: [open, priority(1, 1)],
      rule: 'priority_self_dependency',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'PRIORITY of six bytes',
      frames: [open, frame(frameType.PRIORITY, 0, 1, 'abcdef')],
      rule: 'priority_size_invalid',
      code: h2.FRAME_SIZE_ERROR,
    },
    // 6.9
    {
      name: 'WINDOW_UPDATE by nothing',
      frames: [open, windowUpdate(1, 0)],
      rule: 'window_increment_zero',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'a window above 2^31-1',
      frames: [open, windowUpdate(1, 2 ** 31 - 1)],
      rule: 'window_overflow',
      code: h2.FLOW_CONTROL_ERROR,
    },
    // 8.1.1
    {
      name: 'more DATA than content-length',
      frames: [headers(1, post('content-length', '2')), data(1, 'xxx')],
      rule: 'content_length_mismatch',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'less DATA than content-length',
      frames: [headers(1, post('content-length', '2')), data(1, 'x', END)],
      rule: 'content_length_mismatch',
      code: h2.PROTOCOL_ERROR,
    },
    {
      name: 'an empty end before content-length',
      frames: [headers(1, post('content-length', '2')), data(1, '', END)],
      rule: 'content_length_mismatch',
      code: h2.PROTOCOL_ERROR,
    },
  ]

  for (const { name, frames, rule, code } of cases) {
    it(`${name}: ${rule}`, () => {
      const bench = Bench.server()
      bench.receive(...frames)
      assert.deepEqual(bench.events.violations, [rule])
      assert.equal(streamRules[rule], code)
      assert.deepEqual(bench.events.faults, [])
      assert.equal(bench.frames().at(-1), `RST_STREAM 1 code=${code}`)
      assert.equal(bench.connection.streamCount, 0)
      bench.receive(headers(3, get(), END))
      assert.equal(bench.log.at(-1), 'request 3 GET / end', 'the connection goes on')
    })
  }

  it('the longest body that content-length allows is none', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post('content-length', '2')), data(1, 'xx', END))
    assert.deepEqual(bench.events.violations, [])
    assert.equal(bench.log.at(-1), 'end 1')
  })

  it('more DATA than the window of the stream: window_exceeded', () => {
    const bench = Bench.server({ limits: { streamWindowBytes: 10 } })
    bench.receive(open, data(1, 'x'.repeat(10)))
    assert.deepEqual(bench.events.violations, [])
    bench.receive(data(1, 'x'))
    assert.deepEqual(bench.events.violations, ['window_exceeded'])
    assert.deepEqual(bench.frames(), [`RST_STREAM 1 code=${h2.FLOW_CONTROL_ERROR}`])
  })

  it('a stream above the limit: too_many_streams', () => {
    const bench = Bench.server({ limits: { maxConcurrentStreams: 2 } })
    bench.receive(open, headers(3, post()), headers(5, post()))
    assert.deepEqual(bench.events.violations, ['too_many_streams'])
    assert.deepEqual(bench.frames(), [`RST_STREAM 5 code=${h2.REFUSED_STREAM}`])
    bench.receive(rstStream(1, 8), headers(7, post()))
    assert.equal(bench.log.at(-1), 'request 7 POST /')
  })

  it('keep the HPACK table in step', () => {
    const bench = Bench.server({ limits: { maxConcurrentStreams: 1 } })
    const indexed = Buffer.concat([block(get()), Buffer.from([0x40, 1, 0x61, 1, 0x62])])
    bench.receive(open, frame(frameType.HEADERS, END | END_HEADERS, 3, indexed))
    bench.receive(rstStream(1, 8))
    const again = Buffer.concat([block(get()), Buffer.from([0x80 | 62])])
    bench.receive(frame(frameType.HEADERS, END | END_HEADERS, 5, again))
    assert.deepEqual(bench.events.heads.get(5)?.fields, ['a', 'b'])
  })
})

describe('frames that are no error', () => {
  it('late ones on a stream that we reset are ignored', () => {
    const bench = Bench.server()
    bench.receive(headers(1, post()))
    bench.connection.reset(bench.stream(1), h2.CANCEL)
    bench.frames()
    bench.log.length = 0
    bench.receive(data(1, 'x'), windowUpdate(1, 1), headers(1, ['a', 'b'], END), rstStream(1, 8))
    assert.deepEqual(bench.log, [])
    assert.deepEqual(bench.frames(), [])
  })

  it('WINDOW_UPDATE and RST_STREAM on a stream that ended are ignored', () => {
    const bench = Bench.server()
    bench.receive(headers(1, get(), END))
    bench.connection.respond(bench.stream(1), 204, [], true)
    bench.frames()
    bench.receive(windowUpdate(1, 1), windowUpdate(1, 0), rstStream(1, 8), priority(1, 3))
    assert.deepEqual(bench.events.violations, [])
    assert.deepEqual(bench.frames(), [])
    assert.equal(bench.connection.isDead, false)
  })

  it('unknown frames, flags and settings are ignored', () => {
    const bench = Bench.server()
    bench.receive(frame(0xee, 0xff, 0, 'abc'), frame(0xee, 0xff, 9, 'abc'), settings(0x99, 7))
    bench.receive(frame(frameType.HEADERS, 0x42 | END_HEADERS | END, 1, block(get())))
    assert.deepEqual(bench.log, ['settings', 'request 1 GET / end'])
    assert.deepEqual(bench.frames(), ['SETTINGS ack'])
  })

  it('padding and priority are taken off', () => {
    const bench = Bench.server()
    const payload = Buffer.concat([
      Buffer.from([3]),
      uint32(3),
      Buffer.from([9]),
      block(post()),
      Buffer.alloc(3),
    ])
    bench.receive(frame(frameType.HEADERS, END_HEADERS | PADDED | PRIORITY, 1, payload))
    bench.receive(data(1, '\x02hi\0\0', PADDED | END))
    assert.deepEqual(bench.log, ['request 1 POST /', 'data 1 2', 'end 1'])
    assert.equal(bench.events.body(1), 'hi')
  })

  it('HEADERS of nothing but a priority are a header block of nothing', () => {
    const bench = Bench.server()
    bench.receive(frame(frameType.HEADERS, END | END_HEADERS | PRIORITY, 1, '\0\0\0\0\x0f'))
    assert.deepEqual(bench.events.violations, ['pseudo_missing'])
    assert.deepEqual(bench.events.faults, [])
  })

  it('DATA is told as it arrives, and its end with the last piece', () => {
    const bench = Bench.server()
    const whole = data(1, 'hello world', END)
    bench.receive(headers(1, post()), whole.subarray(0, 14))
    assert.deepEqual(bench.log, ['request 1 POST /', 'data 1 5'])
    bench.receive(whole.subarray(14))
    assert.deepEqual(bench.log.slice(2), ['data 1 6', 'end 1'])
    assert.equal(bench.events.body(1), 'hello world')
  })

  it('a header block may come in any number of pieces within the limit', () => {
    const bench = Bench.server()
    bench.receive(...headersInPieces(1, block(get('a', 'b')), 3, END))
    assert.deepEqual(bench.log, ['request 1 GET / end'])
    assert.deepEqual(bench.events.heads.get(1)?.fields, ['a', 'b'])
  })

  it('PING is answered with what it said', () => {
    const bench = Bench.server()
    bench.receive(ping('abcdefgh'))
    assert.deepEqual(bench.output(), ping('abcdefgh', frameFlag.ACK))
  })

  it('SETTINGS are acknowledged', () => {
    const bench = Bench.server()
    bench.receive(settings(setting.MAX_CONCURRENT_STREAMS, 5))
    assert.deepEqual(bench.output(), settingsAck())
  })

  it('GOAWAY of a client is told and stops nothing', () => {
    const bench = Bench.server()
    bench.receive(headers(1, get(), END), goaway(0, h2.NO_ERROR))
    bench.connection.respond(bench.stream(1), 204, [], true)
    assert.deepEqual(bench.log, ['request 1 GET / end', 'goaway last=0 code=0', 'closed 1'])
  })
})

/** A request whose priority names `dependency`. */
function dependent(streamId: number, dependency: number): Buffer {
  const payload = Buffer.concat([uint32(dependency), Buffer.from([0]), block(get())])
  return frame(frameType.HEADERS, END | END_HEADERS | PRIORITY, streamId, payload)
}
