/**
 * What stands behind the proxies, in a process of its own: `workload.ts KIND [CERTIFICATE KEY CA]`. Prints its port. It does as
 * little as it can: it shares its core with the load.
 */
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { acceptedUpgrade, clientFrameBytes, messageBytes, serverFrame } from './websocket-frames.ts'
import type { WorkloadKind } from './scenario.ts'

const endOfHead = '\r\n\r\n'
const helloReply = Buffer.from(
  'HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\n' +
    `Content-Length: 12${endOfHead}hello world\n`,
)

const grpcMessage = (bytes: number) => {
  const message = Buffer.alloc(5 + bytes)
  message.writeUInt32BE(bytes, 1)
  return message
}
const unaryReply = grpcMessage(12)
const streamedReply = grpcMessage(1_024)
const streamedMessages = 100

const [kind = '', ...files] = process.argv.slice(2)

const kinds: Readonly<Record<WorkloadKind, () => Server>> = {
  hello: () => createServer({ noDelay: true }, answerHeads),
  echo: () =>
    createHttpServer((request, response) => {
      response.writeHead(200, { 'content-length': request.headers['content-length'] ?? 0 })
      request.pipe(response)
    }),
  grpc: () => createHttp2Server().on('stream', answerGrpc),
  websocket: () => createServer({ noDelay: true }, answerMessages),
  tcp: () => createServer({ noDelay: true }, (socket) => survive(socket).pipe(socket)),
  'tls-hello': () => {
    const [cert = '', key = '', ca = ''] = files.map((file) => readFileSync(file, 'utf8'))
    return createTlsServer(
      { cert, key, ca, requestCert: true, ALPNProtocols: ['http/1.1'] },
      answerHeads,
    )
  },
}

/** Heads without a body, which may arrive in pieces. */
function answerHeads(socket: Socket): void {
  let pending = ''
  survive(socket).on('data', (chunk: Buffer) => {
    const heads = (pending + chunk.toString('latin1')).split(endOfHead)
    pending = heads.pop() ?? ''
    socket.write(Buffer.concat(heads.map(() => helloReply)))
  })
}

function answerGrpc(stream: ServerHttp2Stream, headers: { ':path'?: string }): void {
  stream.on('error', () => undefined)
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.resume()
  stream.once('end', () => {
    if (stream.destroyed) return
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true })
    if (headers[':path']?.endsWith('/Unary') === true) {
      stream.end(unaryReply)
    } else {
      for (let i = 0; i < streamedMessages; i++) stream.write(streamedReply)
      stream.end()
    }
  })
}

/** An upgrade, then frames of one known length, each answered by one. */
function answerMessages(socket: Socket): void {
  let head = ''
  let bytes = 0
  let isUpgraded = false
  survive(socket).on('data', (chunk: Buffer) => {
    if (isUpgraded) {
      bytes += chunk.length
    } else {
      head += chunk.toString('latin1')
      const end = head.indexOf(endOfHead)
      if (end === -1) return
      isUpgraded = true
      socket.write(acceptedUpgrade(head))
      bytes = head.length - end - endOfHead.length
    }
    for (; bytes >= clientFrameBytes; bytes -= clientFrameBytes) {
      socket.write(serverFrame(messageBytes))
    }
  })
}

function survive(socket: Socket): Socket {
  return socket.on('error', () => socket.destroy())
}

const server = kinds[kind as WorkloadKind]()
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
