import {
  type ChannelOptions,
  Client,
  type ClientReadableStream,
  Metadata,
  credentials,
  status,
} from '@grpc/grpc-js'
import type { Clock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import type { WorkloadApiAddress } from './address.ts'
import { SpiffeWorkloadAPIService } from './generated/workload.ts'

export interface X509StreamOptions {
  readonly address: WorkloadApiAddress
  readonly clock: Clock
  /** Ends the call. */
  readonly signal: AbortSignal
  /** How long a call may stay without its first message, from dialling on, milliseconds. */
  readonly firstMessageTimeoutMs: number
  /** Largest message, bytes; a larger one ends the call. */
  readonly maxMessageBytes: number
  /** Gets every message as it came. Must not throw. */
  readonly onMessage: (message: Buffer) => void
}

/** Why a stream is over. */
export type StreamEnd =
  /** Our own signal. */
  | { readonly kind: 'closed' }
  /** Unreachable, ended, broken or silent: what is held stays good, and another attempt may mend it. */
  | { readonly kind: 'lost'; readonly error: PosternError }
  /** PERMISSION_DENIED: every SVID is withdrawn (SPIFFE Workload API 5.2.1); another attempt may bring one. */
  | { readonly kind: 'denied'; readonly error: PosternError }
  /** INVALID_ARGUMENT or UNIMPLEMENTED: another attempt would fail alike (SPIFFE Workload Endpoint, appendix A). */
  | { readonly kind: 'refused'; readonly error: PosternError }

/** Makes one call of FetchX509SVID and resolves, never rejects, when it is over. */
export async function runX509Stream(options: X509StreamOptions): Promise<StreamEnd> {
  if (options.signal.aborted) return { kind: 'closed' }
  const client = openChannel(options)
  try {
    return await follow(startCall(client), options)
  } finally {
    client.close()
  }
}

/**
 * Each attempt dials on a channel of its own, outside grpc-js's shared pool: a used one answers from its own back-off with a
 * stale UNAVAILABLE, and would stay with a socket that was replaced in place.
 */
function openChannel(options: X509StreamOptions): Client {
  const channelOptions: ChannelOptions = {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': options.maxMessageBytes,
    // A frozen agent keeps its socket open; grpc-go servers end connections that ping more often than every 5 minutes.
    'grpc.keepalive_time_ms': 360_000,
    'grpc.keepalive_timeout_ms': 20_000,
  }
  return new Client(options.address.target, credentials.createInsecure(), channelOptions)
}

/** Bytes and not messages, because a message that does not decode is to be discarded without ending the stream. */
function startCall(client: Client): ClientReadableStream<Buffer> {
  const { path, requestSerialize } = SpiffeWorkloadAPIService.fetchX509Svid
  const metadata = new Metadata()
  metadata.set('workload.spiffe.io', 'true')
  return client.makeServerStreamRequest(path, requestSerialize, (bytes) => bytes, {}, metadata)
}

function follow(
  call: ClientReadableStream<Buffer>,
  options: X509StreamOptions,
): Promise<StreamEnd> {
  return new Promise((resolve) => {
    const finish = (end: StreamEnd) => {
      silence.cancel()
      options.signal.removeEventListener('abort', onAbort)
      call.removeAllListeners('data')
      call.cancel()
      resolve(end)
    }
    const onAbort = () => finish({ kind: 'closed' })
    const silence = options.clock.setTimer(options.firstMessageTimeoutMs, () =>
      finish({ kind: 'lost', error: silent(options.firstMessageTimeoutMs) }),
    )
    options.signal.addEventListener('abort', onAbort, { once: true })
    call.on('data', (message: Buffer) => {
      silence.cancel()
      options.onMessage(message)
    })
    // The status says the same; without a listener it would be thrown.
    call.on('error', () => undefined)
    call.on('status', ({ code, details }) => finish(endOf(code, details)))
  })
}

/** A remote CANCELLED is a server that shuts down, not our own wish. */
function endOf(code: status, details: string): StreamEnd {
  const text = `${status[code]}: ${details.slice(0, 300)}`
  if (code === status.PERMISSION_DENIED) {
    return { kind: 'denied', error: failure('ERR_WORKLOAD_API_DENIED', text) }
  }
  if (code === status.INVALID_ARGUMENT || code === status.UNIMPLEMENTED) {
    return { kind: 'refused', error: failure('ERR_WORKLOAD_API_ENDED', text) }
  }
  return { kind: 'lost', error: failure('ERR_WORKLOAD_API_UNAVAILABLE', text) }
}

function failure(
  code: 'ERR_WORKLOAD_API_DENIED' | 'ERR_WORKLOAD_API_ENDED' | 'ERR_WORKLOAD_API_UNAVAILABLE',
  text: string,
): PosternError {
  return new PosternError(code, `Workload API stream ended with ${text}`)
}

function silent(timeoutMs: number): PosternError {
  const message = `Workload API sent nothing in ${timeoutMs} ms`
  return new PosternError('ERR_WORKLOAD_API_UNAVAILABLE', message)
}
