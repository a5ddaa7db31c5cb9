import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { CallerLeg } from '../../../src/proxy/websocket/caller-leg.ts'
import { joinByHttp2Proxy } from '../../../src/proxy/websocket/joined-by-http2-proxy.ts'
import { eventually, settle } from '../support/eventually.ts'

/** What http2-proxy does to the leg, with a socket that is none. */
describe('the leg that http2-proxy gets', () => {
  it('passes no byte of a head that it did not expect', async () => {
    const passed: Buffer[] = []
    const leg = new CallerLeg({
      onBytes: (chunk, done) => {
        passed.push(chunk)
        done()
      },
      onEnd: (done) => done(),
    })
    leg.write('HTTP/1.1 101 Switching Protocols\r\nx-postern-product: forged\r\n\r\n')
    leg.write('frame')
    await eventually(() => leg.closed)
    assert.deepEqual(passed, [])
    assert.ok(leg.destroyed)
  })

  it('gets the bytes of both sides, those that came early and those behind the head first', async () => {
    const { leg, socket, join, passed } = joined()
    leg.push('early')
    await settle()
    assert.equal(socket.sent, '')
    join.accepted(Buffer.from('behind, '))
    socket.push('later')
    leg.push(', later')
    await eventually(() => socket.sent === 'early, later')
    await eventually(() => passed.join('') === 'behind, later')
  })

  it('is not finished when the workload has ended, but when the other half has too', async () => {
    const { leg, socket, join } = joined()
    await settle()
    join.accepted(Buffer.alloc(0))
    socket.push(null)
    await settle()
    leg.push('still')
    await eventually(() => socket.sent === 'still')
    assert.equal(socket.destroyed, false)
    leg.push(null)
    await eventually(() => socket.hasEnded)
  })

  it('survives a connection that fails before http2-proxy listens, and after', async () => {
    for (const early of [true, false]) {
      const { leg, socket, errors } = joined()
      if (!early) await settle()
      socket.destroy(new Error('refused'))
      leg.destroy()
      await settle()
      assert.deepEqual(errors, [])
    }
  })

  it('asks for the request when the workload is connected, once', async () => {
    const { socket, asked } = joined({ connecting: true })
    await settle()
    assert.equal(asked(), 0)
    socket.emit('connect')
    assert.equal(asked(), 1)
  })
})

class FakeSocket extends Duplex {
  connecting: boolean
  sent = ''
  hasEnded = false

  constructor(connecting: boolean) {
    super({ allowHalfOpen: true })
    this.connecting = connecting
    this.on('error', () => undefined)
  }

  override _read(): void {
    // The test pushes.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent += chunk.toString()
    done()
  }

  override _final(done: () => void): void {
    this.hasEnded = true
    done()
  }

  setTimeout(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }
}

function joined({ connecting = false } = {}) {
  const socket = new FakeSocket(connecting)
  const passed: string[] = []
  const errors: unknown[] = []
  let asked = 0
  const leg = new CallerLeg({
    onBytes: (chunk, done) => {
      passed.push(chunk.toString())
      done()
    },
    onEnd: (done) => void socket.once('close', done),
  })
  const join = joinByHttp2Proxy({
    leg,
    socket: socket as unknown as Socket,
    path: '/',
    onConnected: () => {
      asked++
    },
    onError: (error) => errors.push(error),
  })
  return { leg, socket, passed, errors, join, asked: () => asked }
}
