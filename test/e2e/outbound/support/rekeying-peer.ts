import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import type { TestLeaf } from '../../../support/test-ca.ts'
import { contentType, requestForNewKeys } from '../../support/raw-tls13.ts'
import { recordAt, type TlsContent, Traffic } from '../../support/tls13-traffic.ts'

/** What the server says of a request, so that the front sees when it has seen all of the server's records. */
const lastWords = 'HTTP/1.1 103 Early Hints\r\n\r\n'

/**
 * A TLS 1.3 server that asks for new keys as often as a test likes, which no library does. Node's own shakes hands, behind a front that
 * sees all records; once a request has come, the front goes on in its stead with the keys that it logged.
 */
export class RekeyingPeer {
  readonly #server: TlsServer
  readonly #front: Server
  readonly #sockets = new Set<Socket>()
  readonly #secrets = new Map<string, Buffer>()
  #onRequest: (connection: RekeyingConnection) => void = () => undefined

  private constructor(leaf: TestLeaf) {
    this.#server = createTlsServer({
      cert: leaf.pem,
      key: leaf.keyPem,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      ALPNProtocols: ['http/1.1'],
    })
    this.#server.on('keylog', (line: Buffer) => {
      const [label = '', , secret = ''] = line.toString().trim().split(' ')
      this.#secrets.set(label, Buffer.from(secret, 'hex'))
    })
    this.#server.on('tlsClientError', () => undefined)
    this.#server.on('secureConnection', (socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.write(lastWords))
    })
    this.#front = createServer((caller) => this.#takeCaller(caller))
  }

  static async start(leaf: TestLeaf): Promise<RekeyingPeer> {
    const peer = new RekeyingPeer(leaf)
    for (const server of [peer.#server, peer.#front]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    return peer
  }

  get port(): number {
    return portOf(this.#front)
  }

  /** The next request that comes, on a connection that is all the test's. To be called before it is made. */
  request(): Promise<RekeyingConnection> {
    return new Promise((resolve) => (this.#onRequest = resolve))
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#front.close()
    this.#server.close()
  }

  #takeCaller(caller: Socket): void {
    const server = connect({ port: portOf(this.#server), host: '127.0.0.1' })
    const sent: Buffer[] = []
    const received: Buffer[] = []
    for (const socket of [caller, server]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => this.#sockets.delete(socket))
    }
    caller.on('data', (chunk) => {
      received.push(chunk)
      server.write(chunk)
    })
    server.on('data', (chunk) => {
      sent.push(chunk)
      caller.write(chunk)
      const { traffic, text } = this.#after('SERVER_TRAFFIC_SECRET_0', sent)
      if (text !== lastWords) return
      caller.removeAllListeners('data')
      const { traffic: read } = this.#after('CLIENT_TRAFFIC_SECRET_0', received)
      this.#onRequest(new RekeyingConnection(caller, traffic, read))
    })
    caller.once('close', () => server.destroy())
  }

  /** The direction as it is after these bytes of it, and what the application said in them. */
  #after(label: string, chunks: readonly Buffer[]): { traffic: Traffic; text: string } {
    const traffic = new Traffic(this.#secrets.get(label) ?? noSecret)
    const bytes = Buffer.concat(chunks)
    let text = ''
    for (let at = 0, record; (record = recordAt(bytes, at)) !== undefined; at += record.length) {
      const opened = openIfIts(traffic, record)
      if (opened?.type === contentType.applicationData) text += opened.content.toString('latin1')
    }
    return { traffic, text }
  }
}

const noSecret = Buffer.alloc(32)

/** The server's end of a connection with a request on it. */
export class RekeyingConnection {
  readonly socket: Socket
  #write: Traffic
  #read: Traffic
  #unread: Buffer = Buffer.alloc(0)
  /** Answers to requests for new keys that were read. */
  answers = 0

  constructor(socket: Socket, write: Traffic, read: Traffic) {
    this.socket = socket
    this.#write = write
    this.#read = read
    socket.pause()
  }

  /** Resolves when the requests have left, or the connection is over. */
  askForNewKeys(times: number): Promise<void> {
    const records = Array.from({ length: times }, () => {
      const record = this.#write.seal(contentType.handshake, requestForNewKeys)
      this.#write = this.#write.next()
      return record
    })
    return this.#written(Buffer.concat(records))
  }

  reply(text: string): Promise<void> {
    return this.#written(this.#write.seal(contentType.applicationData, Buffer.from(text)))
  }

  /** Reads all that comes from here on; throws in a listener for what is not an answer under the right keys. */
  readAnswers(): void {
    this.socket.on('data', (chunk) => {
      this.#unread = Buffer.concat([this.#unread, chunk])
      let record: Buffer | undefined
      while ((record = recordAt(this.#unread, 0)) !== undefined) {
        this.#unread = this.#unread.subarray(record.length)
        this.#take(this.#read.open(record))
      }
    })
    this.socket.resume()
  }

  #take({ type }: TlsContent): void {
    if (type !== contentType.handshake) return
    this.answers++
    this.#read = this.#read.next()
  }

  #written(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes, () => resolve())
    })
  }
}

/** Undefined for a record of the handshake, which is under other keys; it does not count. */
function openIfIts(traffic: Traffic, record: Buffer): TlsContent | undefined {
  try {
    return traffic.open(record)
  } catch {
    return undefined
  }
}

function portOf(server: Server | TlsServer): number {
  return (server.address() as AddressInfo).port
}
