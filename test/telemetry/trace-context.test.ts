import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  formatTraceparent,
  parseTraceparent,
  parseTracestate,
  unsampled,
} from '../../src/telemetry/trace-context.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'
const hexDigits = Array.from({ length: 16 }, (_, i) => i.toString(16))
const good = `00-${traceId}-${spanId}-01`

describe('traceparent', () => {
  const accepted = [
    { name: 'sampled', text: good, sampled: true, handedOn: good },
    { name: 'unsampled', text: `00-${traceId}-${spanId}-00`, sampled: false },
    { name: 'the random flag of level 2', text: `00-${traceId}-${spanId}-03`, sampled: true },
    {
      name: 'flags that nobody knows',
      text: `00-${traceId}-${spanId}-ff`,
      sampled: true,
      handedOn: `00-${traceId}-${spanId}-03`,
    },
    {
      name: 'a later version of the same length',
      text: `01-${traceId}-${spanId}-01`,
      sampled: true,
      handedOn: good,
    },
    {
      name: 'a later version with a field more',
      text: `cc-${traceId}-${spanId}-01-what-the-future-will-be-like`,
      sampled: true,
      handedOn: good,
    },
  ]
  for (const { name, text, sampled, handedOn = text } of accepted) {
    it(`reads ${name}`, () => {
      assert.deepEqual(parseTraceparent(text), { traceId, spanId, sampled, traceparent: handedOn })
    })
  }

  const refused = [
    { name: 'nothing', text: undefined },
    { name: 'an empty text', text: '' },
    { name: 'version ff', text: `ff-${traceId}-${spanId}-01` },
    { name: 'a trace id of zeros', text: `00-${'0'.repeat(32)}-${spanId}-01` },
    { name: 'a parent id of zeros', text: `00-${traceId}-${'0'.repeat(16)}-01` },
    { name: 'upper case', text: `00-${traceId.toUpperCase()}-${spanId}-01` },
    { name: 'upper case in the version', text: `0A-${traceId}-${spanId}-01` },
    { name: 'a short trace id', text: `00-${traceId.slice(1)}-${spanId}-01` },
    { name: 'a long trace id', text: `00-${traceId}0-${spanId}-01` },
    { name: 'a short parent id', text: `00-${traceId}-${spanId.slice(1)}-01` },
    { name: 'a letter beyond f', text: `00-${traceId.replace('a', 'g')}-${spanId}-01` },
    { name: 'flags of one digit', text: `00-${traceId}-${spanId}-1` },
    { name: 'flags that are no digits', text: `00-${traceId}-${spanId}-.0` },
    { name: 'a field more in version 00', text: `${good}-more` },
    { name: 'a dash more in version 00', text: `${good}-` },
    { name: 'text after a later version without a dash', text: `01-${traceId}-${spanId}-01x` },
    { name: 'a blank before', text: ` ${good}` },
    { name: 'a blank after', text: `${good} ` },
    { name: 'other separators', text: good.replaceAll('-', '_') },
    { name: 'two values joined', text: `${good},${good}` },
    { name: 'a line feed after', text: `${good}\n` },
  ]
  for (const { name, text } of refused) {
    it(`refuses ${name}`, () => assert.equal(parseTraceparent(text), undefined))
  }

  it('reads back whatever it formats, and nothing that differs in length', () => {
    const hex = (length: number) =>
      fc
        .string({
          unit: fc.constantFrom(...hexDigits),
          minLength: length,
          maxLength: length,
        })
        .filter((text) => !/^0+$/.test(text))
    fc.assert(
      fc.property(hex(32), hex(16), fc.boolean(), (trace, span, sampled) => {
        const text = formatTraceparent(trace, span, sampled)
        assert.deepEqual(parseTraceparent(text), {
          traceId: trace,
          spanId: span,
          sampled,
          traceparent: text,
        })
        assert.equal(parseTraceparent(text.slice(0, -1)), undefined)
      }),
    )
  })

  it('is handed on unsampled with the ids of the caller', () => {
    const caller = parseTraceparent(good)
    assert.ok(caller)
    assert.equal(unsampled(caller), `00-${traceId}-${spanId}-00`)
  })
})

describe('tracestate', () => {
  const accepted = [
    { name: 'one member', text: 'rojo=00f067aa0ba902b7' },
    { name: 'several members', text: 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE' },
    { name: 'blanks around members', text: ' a=1 \t,  b=2', handedOn: 'a=1,b=2' },
    { name: 'empty members', text: 'a=1,,b=2,', handedOn: 'a=1,b=2' },
    { name: 'a tenant', text: 'fw529a3039@dt=FfAAH1AAh' },
    { name: 'a blank inside a value', text: 'a=1 2' },
    { name: 'a key that begins with a digit', text: '0a=1' },
    { name: '32 members', text: members(32) },
  ]
  for (const { name, text, handedOn = text } of accepted) {
    it(`reads ${name}`, () => assert.equal(parseTracestate(text), handedOn))
  }

  const refused = [
    { name: 'nothing', text: undefined },
    { name: 'an empty text', text: '' },
    { name: 'empty members alone', text: ' , ,' },
    { name: '33 members', text: members(33) },
    { name: 'a key in upper case', text: 'Foo=1' },
    { name: 'a blank in a key', text: 'foo =1' },
    { name: 'a member without a value', text: 'foo' },
    { name: 'an empty value', text: 'foo=' },
    { name: 'an equals sign in a value', text: 'foo=bar=baz' },
    { name: 'a control character', text: 'foo=\u0001' },
    { name: 'a letter beyond ASCII', text: 'foo=\u00e9' },
    { name: 'a key of 257 characters', text: `${'z'.repeat(257)}=1` },
    { name: 'a value of 257 characters', text: `a=${'z'.repeat(257)}` },
    { name: 'the same key twice', text: 'foo=1,foo=2' },
    { name: 'more than the standard can need', text: `${members(31)},`.padEnd(20_000, ',') },
  ]
  for (const { name, text } of refused) {
    it(`refuses ${name}`, () => assert.equal(parseTracestate(text), undefined))
  }

  it('loses its long members first when it is longer than 512 characters', () => {
    const short = members(20)
    const text = `first=${'x'.repeat(250)},${short},last=${'y'.repeat(250)}`
    assert.equal(parseTracestate(text), short)
  })

  it('then loses members from its end', () => {
    const handedOn = parseTracestate(
      Array.from({ length: 20 }, (_, i) => `key${i}=${'x'.repeat(100)}`).join(','),
    )
    assert.ok(handedOn)
    assert.ok(handedOn.length <= 512)
    assert.deepEqual(
      handedOn.split(',').map((member) => member.split('=')[0]),
      ['key0', 'key1', 'key2', 'key3'],
    )
  })
})

function members(count: number): string {
  return Array.from({ length: count }, (_, i) => `k${i}=v${i}`).join(',')
}
