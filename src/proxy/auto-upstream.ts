import { fieldValue, type Fields } from '../core/fields.ts'
import type {
  OutgoingRequest,
  ReplySink,
  RequestSink,
  Upstream,
  WebSocketUpstream,
} from './ends.ts'

/** `application/grpc`, also with a subtype (`+proto`) or parameters. */
const grpcType = /^application\/grpc(?:$|[+; ])/i

/** Whether a request, or what it would be answered with, is gRPC. */
export function isGrpc(fields: Fields): boolean {
  const type = fieldValue(fields, 'content-type')
  return type !== undefined && grpcType.test(type)
}

/** One workload that speaks both: gRPC goes to HTTP/2, which it needs, and the rest to HTTP/1.1. */
export class AutoUpstream implements Upstream, WebSocketUpstream {
  readonly #http1: Upstream & WebSocketUpstream
  readonly #http2: Upstream

  constructor(http1: Upstream & WebSocketUpstream, http2: Upstream) {
    this.#http1 = http1
    this.#http2 = http2
  }

  open(request: OutgoingRequest, reply: ReplySink, fresh: boolean): RequestSink {
    // Every gRPC call is a POST: other requests are not searched for their content type.
    const target = request.method === 'POST' && isGrpc(request.fields) ? this.#http2 : this.#http1
    return target.open(request, reply, fresh)
  }

  openWebSocket(request: OutgoingRequest, reply: ReplySink): RequestSink {
    return this.#http1.openWebSocket(request, reply)
  }

  close(): void {
    this.#http1.close()
    this.#http2.close()
  }
}
