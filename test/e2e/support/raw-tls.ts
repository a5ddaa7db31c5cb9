import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { extension, handshakeMessage, tlsRecord, uint, vector } from './tls-bytes.ts'

/** A TCP connection that is written byte by byte and remembers what came. */
export class RawConnection {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #isOver = false
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    const over = () => {
      this.#isOver = true
      this.#wake()
    }
    socket.once('end', over)
    socket.once('close', over)
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  get received(): Buffer {
    return this.#received
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** Resolves with everything that came, when the other side has ended the connection. */
  async ended(): Promise<Buffer> {
    while (!this.#isOver) await this.#next()
    this.socket.destroy()
    return this.#received
  }

  /** Resolves when what came satisfies this. */
  async has(condition: (received: Buffer) => boolean): Promise<void> {
    while (!condition(this.#received)) {
      if (this.#isOver) throw new Error(`ended after ${this.#received.toString('latin1')}`)
      await this.#next()
    }
  }

  #next(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }
}

const handshakeType = { clientHello: 1, certificate: 11, serverHelloDone: 14 } as const

/** A client hello of TLS 1.2 that our server has a suite for: its certificate message is not encrypted. */
export function clientHello(): Buffer {
  const suites = vector(2, uint(2, 0xc02b))
  const extensions = vector(
    2,
    extension(10, vector(2, uint(2, 0x001d), uint(2, 0x0017))),
    extension(11, vector(1, uint(1, 0))),
    extension(13, vector(2, uint(2, 0x0403), uint(2, 0x0804))),
  )
  const body = [uint(2, 0x0303), Buffer.alloc(32, 7), vector(1), suites, vector(1, uint(1, 0))]
  return handshake(handshakeType.clientHello, ...body, extensions)
}

/** The certificate message of TLS 1.2 with whatever bytes stand for certificates. */
export function certificateMessage(...ders: readonly Buffer[]): Buffer {
  return handshake(handshakeType.certificate, vector(3, ...ders.map((der) => vector(3, der))))
}

/** Whether the server has said its part and waits for the client's certificate. */
export function isServerHelloDone(received: Buffer): boolean {
  return received.includes(Buffer.from([handshakeType.serverHelloDone, 0, 0, 0]))
}

function handshake(type: number, ...body: readonly Buffer[]): Buffer {
  const messages = handshakeMessage(type, ...body)
  const records: Buffer[] = []
  for (let at = 0; at < messages.length; at += 16_384) {
    records.push(tlsRecord(22, messages.subarray(at, at + 16_384)))
  }
  return Buffer.concat(records)
}
