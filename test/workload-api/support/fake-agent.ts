import { type Server as NetServer, type Socket, createServer } from 'node:net'
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  type status,
} from '@grpc/grpc-js'
import { X509SVIDResponse } from '../../../src/workload-api/generated/workload.ts'
import { eventually } from './eventually.ts'

const service: ServiceDefinition = {
  fetchX509Svid: {
    path: '/SpiffeWorkloadAPI/FetchX509SVID',
    requestStream: false,
    responseStream: true,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
}

/** A real gRPC server whose every answer the test gives by hand, bytes if need be. */
export class FakeAgent {
  /** Every call of FetchX509SVID that came, in order. */
  readonly calls: FakeCall[] = []
  readonly #grpc = new Server({ 'grpc.max_send_message_length': -1 })
  readonly #net: NetServer
  readonly #sockets = new Set<Socket>()

  private constructor(isServing: boolean) {
    const fetchX509Svid = (call: ServerWritableStream<Buffer, Buffer>) => {
      this.calls.push(new FakeCall(call))
    }
    this.#grpc.addService(service, isServing ? { fetchX509Svid } : {})
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure())
    this.#net = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => this.#sockets.delete(socket))
      injector.injectConnection(socket)
    })
  }

  /** `isServing: false`: the method is not implemented. `listen`: a socket path, or a port on 127.0.0.1. */
  static async start(listen: string | number, isServing = true): Promise<FakeAgent> {
    const agent = new FakeAgent(isServing)
    await new Promise<void>((resolve) =>
      typeof listen === 'string'
        ? agent.#net.listen(listen, resolve)
        : agent.#net.listen(listen, '127.0.0.1', resolve),
    )
    return agent
  }

  /** The call with this number, counted from 0, as soon as it came. */
  async call(index: number): Promise<FakeCall> {
    await eventually(() => this.calls.length > index)
    return this.calls[index]!
  }

  /** The port, when it listens on one. */
  get port(): number {
    const address = this.#net.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#sockets.size
  }

  /** As `kill -9`: connections end without a word; the socket is gone. */
  async kill(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await this.close()
  }

  /** Shuts down as grpc-js does: streams end with CANCELLED. */
  async close(): Promise<void> {
    this.#grpc.forceShutdown()
    await new Promise((resolve) => this.#net.close(resolve))
  }
}

export class FakeCall {
  readonly #call: ServerWritableStream<Buffer, Buffer>
  /** The caller has gone. */
  isCancelled = false

  constructor(call: ServerWritableStream<Buffer, Buffer>) {
    this.#call = call
    call.on('cancelled', () => (this.isCancelled = true))
  }

  get metadata(): Metadata {
    return this.#call.metadata
  }

  send(message: X509SVIDResponse | Buffer): void {
    const isRaw = Buffer.isBuffer(message)
    this.#call.write(isRaw ? message : Buffer.from(X509SVIDResponse.encode(message).finish()))
  }

  /** Ends with status OK. */
  end(): void {
    this.#call.end()
  }

  fail(code: status, details = 'the test said so'): void {
    this.#call.emit('error', { code, details })
  }
}
