import { EventEmitter } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import http2Proxy from 'http2-proxy'
import type { CallerLeg } from './caller-leg.ts'

export interface JoinOptions {
  /** Stands for the caller's socket. */
  readonly leg: CallerLeg
  /** To the workload; still connecting. */
  readonly socket: Socket
  readonly path: string
  /** The workload is connected: time to send it the request. */
  readonly onConnected: () => void
  /** It gave up; possibly after all is over. */
  readonly onError: (error: unknown) => void
}

/** A handshake that http2-proxy waits for. */
export interface Join {
  /** The workload has accepted: from here on http2-proxy moves the bytes. `rest` came behind the head. At most once, when connected. */
  accepted(rest: Buffer): void
}

/**
 * Hands one WebSocket to http2-proxy: it waits for the workload's connection, tells when to send the request, and once the workload
 * has accepted it pipes the two sides into each other.
 *
 * The rest of what it could do it does wrongly (it drops Host, forwards what Connection lists or drops what we set, adds Forwarded,
 * writes a refusal with `transfer-encoding: chunked` and a body that is not, closes both halves with the first, and fails in places
 * where nobody listens). So it never sees a header: the request that it gets says only that it is a WebSocket, the request to the
 * workload and the reply are ours, and it hears of neither refusal nor failure, but that the leg is gone.
 */
export function joinByHttp2Proxy(options: JoinOptions): Join {
  const toWorkload = new RequestToWorkload(options.socket, options.onConnected)
  const onReq = () => Promise.resolve(toWorkload as unknown as ClientRequest)
  void http2Proxy.ws(
    new RequestOfCaller(options.path) as unknown as IncomingMessage,
    options.leg as unknown as Socket,
    nothingRead,
    { onReq } as never,
    (error: unknown) => {
      if (error instanceof Error) options.onError(error)
    },
  )
  return {
    accepted(rest) {
      const isHeard = toWorkload.emit('upgrade', replyWithoutFields, options.socket, rest)
      if (!isHeard) throw new TypeError('http2-proxy does not wait for the reply')
    },
  }
}

const nothingRead = Buffer.alloc(0)

/** It would write these to the caller; the head that the caller gets is ours. */
const replyWithoutFields = { headers: {} }

/** What http2-proxy looks at of the caller's request. It is ours to choose: the spelling of Upgrade, for one. */
class RequestOfCaller extends EventEmitter {
  readonly method = 'GET'
  readonly headers = { upgrade: 'websocket' }
  readonly httpVersion = '1.1'
  readonly aborted = false
  /** For the Forwarded field that nobody gets. */
  readonly socket = {}
  readonly url: string

  constructor(path: string) {
    super()
    this.url = path
  }

  /** There is no body. */
  resume(): this {
    return this
  }
}

/** What http2-proxy takes for the request to the workload. */
class RequestToWorkload extends EventEmitter {
  readonly method = 'GET'
  readonly socket: Socket
  readonly #send: () => void

  constructor(socket: Socket, send: () => void) {
    super()
    this.socket = socket
    this.#send = send
  }

  /** It has nothing to add. */
  end(): void {
    this.#send()
  }

  abort(): void {
    // Whoever ends the leg has ended the connection to the workload as well.
  }
}
