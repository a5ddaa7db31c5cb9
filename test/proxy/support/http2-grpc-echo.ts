import {
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type ClientDuplexStream,
  credentials,
  makeGenericClientConstructor,
  Metadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status,
} from '@grpc/grpc-js'

const bytes = {
  requestSerialize: (value: Buffer) => value,
  requestDeserialize: (value: Buffer) => value,
  responseSerialize: (value: Buffer) => value,
  responseDeserialize: (value: Buffer) => value,
}

/** Messages are plain bytes, so that no schema stands between the test and the wire. */
const service = {
  unary: { path: '/test.Echo/Unary', requestStream: false, responseStream: false, ...bytes },
  fails: { path: '/test.Echo/Fails', requestStream: false, responseStream: false, ...bytes },
  /** Never answers, and remembers that it was cancelled. */
  hangs: { path: '/test.Echo/Hangs', requestStream: false, responseStream: true, ...bytes },
  /** Sends each byte of the request as a message. */
  list: { path: '/test.Echo/List', requestStream: false, responseStream: true, ...bytes },
  /** Sends two messages, then breaks off. */
  breaks: { path: '/test.Echo/Breaks', requestStream: false, responseStream: true, ...bytes },
  sum: { path: '/test.Echo/Sum', requestStream: true, responseStream: false, ...bytes },
  chat: { path: '/test.Echo/Chat', requestStream: true, responseStream: true, ...bytes },
}

type Done = (error: ServiceError | null, reply?: Buffer) => void

/** The generated client would look like this. */
export interface EchoClient {
  unary(message: Buffer, metadata: Metadata, options: object, done: Done): ClientUnaryCall
  fails(message: Buffer, done: Done): ClientUnaryCall
  hangs(message: Buffer, options?: object): ClientReadableStream<Buffer>
  list(message: Buffer): ClientReadableStream<Buffer>
  breaks(message: Buffer): ClientReadableStream<Buffer>
  sum(done: Done): ClientWritableStream<Buffer>
  chat(): ClientDuplexStream<Buffer, Buffer>
  close(): void
}

const maxMessageBytes = 16 * 1024 * 1024
const largeMessages = {
  'grpc.max_receive_message_length': maxMessageBytes,
  'grpc.max_send_message_length': maxMessageBytes,
}

const Client = makeGenericClientConstructor(service, 'Echo')

export function echoClient(port: number, by = credentials.createInsecure()): EchoClient {
  const client = new Client(`127.0.0.1:${port}`, by, {
    ...largeMessages,
    // Every client its own connection.
    'grpc.use_local_subchannel_pool': 1,
  })
  return client as unknown as EchoClient
}

/** A gRPC workload. */
export class EchoWorkload {
  cancelled = 0
  /** Called when a call that never answers has come. */
  onHang: () => void = () => undefined
  port = 0
  readonly #server = new Server(largeMessages)

  static async start(): Promise<EchoWorkload> {
    const workload = new EchoWorkload()
    workload.#server.addService(service, workload.#implementation())
    workload.port = await new Promise<number>((resolve, reject) => {
      workload.#server.bindAsync(
        '127.0.0.1:0',
        ServerCredentials.createInsecure(),
        (error, port) => (error === null ? resolve(port) : reject(error)),
      )
    })
    return workload
  }

  close(): void {
    this.#server.forceShutdown()
  }

  #implementation() {
    return {
      unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        const metadata = new Metadata()
        for (const value of call.metadata.get('x-list')) metadata.add('x-list', value)
        for (const value of call.metadata.get('x-raw-bin')) metadata.add('x-raw-bin', value)
        call.sendMetadata(metadata)
        const trailer = new Metadata()
        trailer.set('x-trailer', 'after')
        done(null, call.request, trailer)
      },
      fails: (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        const metadata = new Metadata()
        metadata.set('x-why', 'because')
        done({ code: status.FAILED_PRECONDITION, details: 'não · %25', metadata })
      },
      hangs: (call: ServerWritableStream<Buffer, Buffer>) => {
        call.on('cancelled', () => this.cancelled++)
        this.onHang()
      },
      list: (call: ServerWritableStream<Buffer, Buffer>) => {
        for (const byte of call.request) call.write(Buffer.from([byte]))
        call.end()
      },
      breaks: (call: ServerWritableStream<Buffer, Buffer>) => {
        call.write(Buffer.from('1'))
        call.write(Buffer.from('2'), () =>
          call.emit('error', { code: status.DATA_LOSS, details: 'lost' }),
        )
      },
      sum: (call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        let sum = 0
        call.on('data', (message: Buffer) => (sum += message.length))
        call.on('end', () => done(null, Buffer.from(String(sum))))
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('data', (message: Buffer) => call.write(message))
        call.on('end', () => call.end())
        call.on('cancelled', () => this.cancelled++)
      },
    }
  }
}
