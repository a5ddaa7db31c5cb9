import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { eventually } from './eventually.ts'

/** One side of a connection that is written and read byte by byte; texts are Latin-1. */
export class RawSocket {
  readonly socket: Socket
  /** The other side ended its half in order. */
  hasEnded = false
  /** Both halves are over. */
  isClosed = false
  /** `ECONNRESET` and the like. */
  errorCode: string | undefined
  #received: Buffer[] = []
  #receivedBytes = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received.push(chunk)
      this.#receivedBytes += chunk.length
    })
    socket.on('end', () => (this.hasEnded = true))
    socket.on('error', (error: NodeJS.ErrnoException) => (this.errorCode = error.code))
    socket.on('close', () => (this.isClosed = true))
  }

  /** Stays open for reading after the other side's end, and for writing after its own. */
  static async connect(port: number): Promise<RawSocket> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    await once(socket, 'connect')
    return new RawSocket(socket)
  }

  /** Everything that came and was not taken. */
  get text(): string {
    return this.bytes.toString('latin1')
  }

  get bytes(): Buffer {
    const all = this.#received.length === 1 ? this.#received[0] : Buffer.concat(this.#received)
    this.#received = all === undefined ? [] : [all]
    return all ?? Buffer.alloc(0)
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  write(bytes: string | Buffer): void {
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
    else this.socket.write(bytes)
  }

  /** Ends this half. */
  fin(): void {
    this.socket.end()
  }

  reset(): void {
    this.socket.resetAndDestroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** What was received up to now, once it holds `part`; it is taken and not seen again. */
  async take(part: string | RegExp): Promise<string> {
    await this.has(part)
    const { text } = this
    this.forget()
    return text
  }

  forget(): void {
    this.#received = []
  }

  async has(part: string | RegExp): Promise<void> {
    const holds = () => (typeof part === 'string' ? this.text.includes(part) : part.test(this.text))
    let seen = -1
    await eventually(
      () => {
        if (seen === this.#receivedBytes && !this.isClosed) return false
        seen = this.#receivedBytes
        return holds()
      },
      () => `no ${String(part)} in ${JSON.stringify(this.text.slice(-2_000))}`,
    )
  }

  async hasBytes(count: number): Promise<void> {
    await eventually(
      () => this.#receivedBytes >= count,
      () => `${this.#receivedBytes} bytes of ${count}`,
    )
  }

  async ended(): Promise<void> {
    await eventually(
      () => this.hasEnded || this.isClosed,
      () => 'not ended',
    )
  }

  async closed(): Promise<void> {
    await eventually(
      () => this.isClosed,
      () => 'not closed',
    )
  }
}
