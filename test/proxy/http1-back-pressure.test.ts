import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { eventually } from './support/eventually.ts'
import { get, ok } from './support/messages.ts'
import { useProxy } from './support/proxy-fixture.ts'
import type { RawSocket } from './support/raw-socket.ts'

const bodyBytes = 24_000_000
/** Twice a window of 128 KiB, for what is read in one go and what the sockets themselves keep. */
const mostHeldBytes = 256 * 1024

describe('back-pressure', () => {
  const f = useProxy()
  const body = Buffer.alloc(bodyBytes, 'a body that repeats after some bytes ')
  const digest = sha256(body)

  /** Bytes that came from one socket and that the kernel has not taken for the other, as seen after each turn. */
  function watchHeld(from: () => Socket | undefined, to: () => Socket | undefined) {
    const watch = { mostBytes: 0, stop: () => clearInterval(timer) }
    const look = () => {
      const [source, target] = [from(), to()]
      if (source === undefined || target === undefined) return
      const heldBytes = source.bytesRead - (target.bytesWritten - target.writableLength)
      watch.mostBytes = Math.max(watch.mostBytes, heldBytes)
    }
    const timer = setInterval(look, 1)
    return watch
  }

  const bodies = [
    { name: 'a length', head: `Content-Length: ${bodyBytes}\r\n\r\n`, chunked: false },
    { name: 'chunks', head: 'Transfer-Encoding: chunked\r\n\r\n', chunked: true },
  ]
  for (const { name, head, chunked } of bodies) {
    it(`holds little of a reply with ${name} that the caller is slow to take, and loses nothing`, async () => {
      await f.start()
      const caller = await f.caller()
      const held = watchHeld(
        () => f.proxy.workloadSockets[0],
        () => f.proxy.sockets[0],
      )
      caller.socket.pause()
      caller.write(get('/'))
      const workload = await f.workload.connection(0)
      await workload.has('\r\n\r\n')
      workload.write(`HTTP/1.1 200 OK\r\n${head}`)
      sendBody(workload, body, chunked)
      await readSlowly(caller, () => f.proxy.workloadSockets[0])
      await caller.hasBytes(bodyBytes)
      await f.proxy.outcome(0)
      if (chunked) await caller.has(/0\r\n\r\n$/)
      held.stop()
      assert.equal(sha256(bodyOf(caller, chunked)), digest)

      assert.ok(
        held.mostBytes > 64 * 1024 && held.mostBytes <= mostHeldBytes,
        `${held.mostBytes} held`,
      )
    })

    it(`holds little of a request with ${name} that the workload is slow to take, and loses nothing`, async () => {
      await f.start()
      f.workload.onConnection = (connection) => connection.socket.pause()
      const caller = await f.caller()
      const held = watchHeld(
        () => f.proxy.sockets[0],
        () => f.proxy.workloadSockets[0],
      )
      caller.write(`POST / HTTP/1.1\r\nHost: a\r\n${head}`)
      sendBody(caller, body, chunked)
      const workload = await f.workload.connection(0)
      await readSlowly(workload, () => f.proxy.sockets[0])
      await workload.hasBytes(bodyBytes)
      await workload.hasBytes(bodyBytes + workload.bytes.indexOf('\r\n\r\n') + 4)
      workload.write(ok('done'))
      await caller.has('done')
      held.stop()
      assert.equal(sha256(bodyOf(workload, chunked)), digest)

      assert.ok(
        held.mostBytes > 64 * 1024 && held.mostBytes <= mostHeldBytes,
        `${held.mostBytes} held`,
      )
      assert.equal((await f.proxy.outcome(0)).requestBytes, bodyBytes)
    })
  }
})

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function sendBody(socket: RawSocket, body: Buffer, chunked: boolean): void {
  if (!chunked) {
    socket.write(body)
    return
  }
  const pieceBytes = 1_000_000
  for (let at = 0; at < body.length; at += pieceBytes) {
    const piece = body.subarray(at, at + pieceBytes)
    socket.write(`${piece.length.toString(16)}\r\n`)
    socket.write(piece)
    socket.write('\r\n')
  }
  socket.write('0\r\n\r\n')
}

/** Takes a little whenever the proxy has stopped reading from the other side; after some rounds all the rest. */
async function readSlowly(reader: RawSocket, source: () => Socket | undefined): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await eventually(() => source()?.isPaused() === true)
    const wanted = reader.receivedBytes + 1_000_000
    reader.socket.resume()
    await eventually(() => reader.receivedBytes >= wanted)
    reader.socket.pause()
  }
  reader.socket.resume()
}

function bodyOf(socket: RawSocket, chunked: boolean): Buffer {
  const { bytes } = socket
  const start = bytes.indexOf('\r\n\r\n') + 4
  return chunked ? unchunked(bytes, start) : bytes.subarray(start, start + bodyBytes)
}

function unchunked(bytes: Buffer, from: number): Buffer {
  const pieces: Buffer[] = []
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (size === 0) return Buffer.concat(pieces)
    pieces.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}
