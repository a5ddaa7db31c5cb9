import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { h2 } from '../../src/http2/errors.ts'
import { data, END, get, headers, post, rstStream, setting } from '../http2/support/raw-frames.ts'
import { eventually, settle } from '../proxy/support/eventually.ts'
import { RawPeer } from '../proxy/support/http2-raw-peer.ts'
import type { RawSocket } from '../proxy/support/raw-socket.ts'
import { RawWorkload } from '../proxy/support/raw-workload.ts'
import { InboundHarness } from './support/inbound-harness.ts'

const cancelled = (id: number) => rstStream(id, h2.CANCEL)

/** RFC 8441 frame by frame: a caller that resets one WebSocket of a connection that carries others. */
describe('a WebSocket over HTTP/2 that its caller cancels', () => {
  let workload: RawWorkload
  let harness: InboundHarness
  let caller: RawPeer

  async function start(upstreamProtocol: 'http1' | 'h2c'): Promise<void> {
    workload = await RawWorkload.start()
    harness = await InboundHarness.start({
      ...{ plaintext: 'allow', workloadPort: workload.port, upstreamProtocol },
    })
    caller = await RawPeer.caller(harness.port)
  }

  afterEach(async () => {
    caller.raw.destroy()
    await harness.close()
    await workload.close()
  })

  const keyField = () => ['x-api-key', harness.keys[0]!.key]
  const connect = (id: number) =>
    headers(id, [
      ...[':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http'],
      ...[':authority', 'api.example', ':path', '/chat', 'sec-websocket-version', '13'],
      ...keyField(),
    ])

  /** Nothing is left of the WebSocket but its record. */
  async function isForgotten(status: number): Promise<void> {
    const { telemetry } = harness
    await eventually(() => telemetry.ended.some(({ record }) => record.protocol === 'websocket'))
    const ended = telemetry.ended.filter(({ record }) => record.protocol === 'websocket')
    assert.deepEqual(
      ended.map(({ outcome }) => [outcome.status, outcome.error]),
      [[status, 'downstream_aborted']],
    )
    assert.equal(telemetry.openConnections, 1)
    assert.equal(harness.server.connections, 1)
  }

  /** The caller's end of stream 1 was the last word on it. */
  function isQuiet(): void {
    const later = caller.frames.filter((frame) => /^(?:RST_STREAM|GOAWAY)/.test(frame))
    assert.deepEqual(later, [])
  }

  describe('at a workload of HTTP/1.1', () => {
    beforeEach(() => start('http1'))

    async function upgrade(id: number, index: number): Promise<RawSocket> {
      caller.send(connect(id))
      const taken = await workload.connection(index)
      taken.write(accepting(await taken.take('\r\n\r\n')))
      await caller.has(`HEADERS ${id} 200`)
      return taken
    }

    it('ends there too, and the other streams of the connection go on', async () => {
      const first = await upgrade(1, 0)
      const second = await upgrade(3, 1)
      caller.send(headers(5, post(...keyField())), data(5, 'half'))
      const request = await workload.connection(2)
      await request.has('half')
      caller.send(data(1, 'to the first'), data(3, 'to the second'))
      await first.has('to the first')
      await second.take('to the second')
      await eventually(() => harness.telemetry.openConnections === 3)

      caller.send(cancelled(1))
      await first.closed()
      assert.equal(first.text, 'to the first')
      await eventually(() => harness.telemetry.openConnections === 2)
      caller.send(data(3, 'still there'), data(5, ' whole', END))
      await second.has('still there')
      second.write('so am I')
      await eventually(() => caller.body(3).toString() === 'so am I')
      await request.has(' whole')
      request.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      await caller.has('DATA 5 2 end')
      assert.equal(second.hasEnded, false)

      caller.send(data(3, '', END))
      await second.ended()
      second.fin()
      await caller.has('DATA 3 0 end')
      await eventually(() => harness.telemetry.openConnections === 1)
      isQuiet()
    })

    it('is not opened at all when it is cancelled before the answer', async () => {
      caller.send(connect(1))
      const taken = await workload.connection(0)
      const request = await taken.take('\r\n\r\n')
      caller.send(cancelled(1))
      await taken.closed()
      taken.write(accepting(request))
      await isForgotten(499)
      caller.send(headers(3, get(...keyField()), END))
      const other = await workload.connection(1)
      other.write('HTTP/1.1 204 No Content\r\n\r\n')
      await caller.has('HEADERS 3 204 end')
      isQuiet()
    })

    it('is cut with what the workload has not taken: nothing is held', async () => {
      const taken = await upgrade(1, 0)
      taken.socket.pause()
      for (let i = 0; i < 7; i++) caller.send(data(1, Buffer.alloc(16_384)))
      await settle()
      caller.send(cancelled(1))
      await isForgotten(101)
      taken.socket.resume()
      await taken.ended()
      // The window of the connection has come back: more than one stream's would be needed.
      for (const id of [3, 5, 7, 9]) {
        caller.send(headers(id, post(...keyField())))
        for (let i = 0; i < 7; i++) caller.send(data(id, Buffer.alloc(16_384)))
        caller.send(data(id, '', END))
        await (await workload.connection((id - 1) / 2)).hasBytes(7 * 16_384)
      }
      isQuiet()
    })
  })

  describe('at a workload of HTTP/2', () => {
    beforeEach(() => start('h2c'))

    it('is reset there with CANCEL, and the other streams of both connections go on', async () => {
      caller.send(connect(1), headers(3, get(...keyField()), END))
      const peer = await RawPeer.workload(workload, 0, setting.ENABLE_CONNECT_PROTOCOL, 1)
      await peer.has('HEADERS 1 GET / end')
      await peer.has('HEADERS 3 CONNECT /chat')
      peer.send(headers(3, [':status', '200']), data(3, 'hello'))
      await caller.has('DATA 1 5')
      caller.send(cancelled(1))
      await peer.has(`RST_STREAM 3 code=${h2.CANCEL}`)
      await isForgotten(101)
      peer.send(data(3, 'too late'), headers(1, [':status', '200'], END))
      await caller.has('HEADERS 3 200 end')
      caller.send(headers(5, get(...keyField()), END))
      await peer.has('HEADERS 5 GET / end')
      peer.send(headers(5, [':status', '204'], END))
      await caller.has('HEADERS 5 204 end')
      isQuiet()
      assert.equal(caller.body(1).toString(), 'hello')
    })
  })
})

function accepting(request: string): string {
  const key = /sec-websocket-key: (.*)\r\n/i.exec(request)?.[1] ?? ''
  const hash = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  const fields = [`sec-websocket-accept: ${hash.digest('base64')}`, 'connection: upgrade']
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n${fields.join('\r\n')}\r\n\r\n`
}
