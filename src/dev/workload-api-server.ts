import { chmod } from 'node:fs/promises'
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { PosternError } from '../core/errors.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import {
  SpiffeWorkloadAPIService,
  type X509BundlesResponse,
  type X509SVIDResponse,
} from '../workload-api/generated/workload.ts'
import { freeSocketPath } from './socket-path.ts'

export interface WorkloadApiServerOptions {
  /** Absolute. Its folder is made when missing; a socket left by a dead process is replaced. The socket has mode 0600. */
  readonly socketPath: string
  /** The first answer; see `publish`. */
  readonly state: X509SVIDResponse | undefined
}

/**
 * Serves the X.509 methods of the Workload API on one Unix socket to one kind of caller: everyone who can open the socket is
 * taken for the same workload. The JWT and WIT methods answer UNIMPLEMENTED.
 */
export class WorkloadApiServer {
  readonly #server: Server
  readonly #streams = new Set<(state: X509SVIDResponse | undefined) => void>()
  #state: X509SVIDResponse | undefined

  private constructor(state: X509SVIDResponse | undefined) {
    this.#state = state
    this.#server = new Server({ 'grpc.max_concurrent_streams': 1_000 })
    this.#server.addService(SpiffeWorkloadAPIService, {
      fetchX509Svid: (call: ServerWritableStream<unknown, X509SVIDResponse>) =>
        this.#serve(call, (current) => current),
      fetchX509Bundles: (call: ServerWritableStream<unknown, X509BundlesResponse>) =>
        this.#serve(call, bundlesOf),
      fetchJwtsvid: unimplemented,
      fetchJwtBundles: unimplementedStream,
      validateJwtsvid: unimplemented,
      fetchWitsvid: unimplementedStream,
      fetchWitBundles: unimplementedStream,
    })
  }

  /** Resolves when the socket accepts connections. Throws `PosternError` ERR_LISTEN_FAILED. */
  static async start(options: WorkloadApiServerOptions): Promise<WorkloadApiServer> {
    await freeSocketPath(options.socketPath)
    const server = new WorkloadApiServer(options.state)
    await server.#listen(options.socketPath)
    return server
  }

  /** The number of streams that are open. */
  get streamCount(): number {
    return this.#streams.size
  }

  /**
   * Sends the state to every open stream and to those that come. `undefined` means that the workload has no identity: open
   * streams end with PERMISSION_DENIED, and so does every new one.
   */
  publish(state: X509SVIDResponse | undefined): void {
    this.#state = state
    for (const send of this.#streams) send(state)
  }

  /** Ends every stream and removes the socket. Idempotent. */
  async close(): Promise<void> {
    this.#server.forceShutdown()
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()))
  }

  async #listen(socketPath: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve()
        else reject(listenFailed(socketPath, error))
      })
    })
    await chmod(socketPath, 0o600)
  }

  #serve<T>(call: ServerWritableStream<unknown, T>, project: (state: X509SVIDResponse) => T): void {
    if (!hasSecurityHeader(call.metadata)) {
      call.emit('error', headerMissing)
      return
    }
    const write = newestFirst(call)
    const send = (state: X509SVIDResponse | undefined) => {
      if (state !== undefined) {
        write(project(state))
        return
      }
      this.#streams.delete(send)
      call.emit('error', noIdentity)
    }
    call.once('close', () => this.#streams.delete(send))
    this.#streams.add(send)
    send(this.#state)
  }
}

const headerMissing = {
  code: status.INVALID_ARGUMENT,
  details: 'security header missing from request',
}
const noIdentity = { code: status.PERMISSION_DENIED, details: 'no identity issued' }
const notServed = {
  code: status.UNIMPLEMENTED,
  details: 'the development agent serves X.509-SVIDs only',
}

/** SPIFFE Workload Endpoint 6: exactly one value, `true`, which no browser could be made to send. */
function hasSecurityHeader(metadata: Metadata): boolean {
  const values = metadata.get('workload.spiffe.io')
  return values.length === 1 && values[0] === 'true'
}

/** Writes to a stream; while its reader is slow only the newest message waits, for each is the full state. */
function newestFirst<T>(call: ServerWritableStream<unknown, T>): (message: T) => void {
  let isFull = false
  let waiting: { readonly message: T } | undefined
  const write = (message: T) => {
    if (call.writableEnded || call.destroyed) return
    if (isFull) waiting = { message }
    else isFull = !call.write(message)
  }
  call.on('drain', () => {
    const next = waiting
    isFull = false
    waiting = undefined
    if (next !== undefined) write(next.message)
  })
  return write
}

/** The bundles of a state under the SPIFFE IDs of their trust domains. */
function bundlesOf(state: X509SVIDResponse): X509BundlesResponse {
  const own = state.svids.map(
    (svid) => [SpiffeId.parse(svid.spiffeId).trustDomain.id, svid.bundle] as const,
  )
  return { crl: state.crl, bundles: new Map([...state.federatedBundles, ...own]) }
}

function unimplemented<T>(_call: ServerUnaryCall<unknown, T>, reply: sendUnaryData<T>): void {
  reply(notServed)
}

function unimplementedStream<T>(call: ServerWritableStream<unknown, T>): void {
  call.emit('error', notServed)
}

function listenFailed(socketPath: string, cause: Error): PosternError {
  const message = `socket ${JSON.stringify(socketPath)} cannot be listened on: ${cause.message}`
  return new PosternError('ERR_LISTEN_FAILED', message, { cause })
}
