import http from 'node:http'
import http2 from 'node:http2'
import { once } from 'node:events'
import { lengthOfPieces, piecesOf, type RequestPlan } from './http2-message.ts'
import { byName } from './http2-planned-workload.ts'

/** A reply as Node's own client gave it to the caller. */
export interface Received {
  readonly status: number
  readonly rawHeaders: readonly string[]
  readonly informational: readonly { readonly status: number; readonly link: string }[]
  readonly body: Buffer
  readonly rawTrailers: readonly string[]
}

/** Sends planned requests over one connection. `mayEnd`: HTTP/1.1 may have to end it after this reply. */
export interface PlannedCaller {
  send(plan: RequestPlan, mayEnd: boolean): Promise<Received>
  close(): Promise<void>
}

export function plannedCaller(protocol: 'http1' | 'h2', port: number): PlannedCaller {
  return protocol === 'http1' ? new Http1Caller(port) : new Http2Caller(port)
}

class Http1Caller implements PlannedCaller {
  readonly #port: number
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

  constructor(port: number) {
    this.#port = port
  }

  async send(plan: RequestPlan, mayEnd: boolean): Promise<Received> {
    const agent = mayEnd ? false : this.#agent
    const { method, path, pieces, trailers } = plan
    const headers = ['host', 'api.example:81', ...plan.fields.flat()]
    if (plan.hasLength) headers.push('content-length', String(lengthOfPieces(pieces)))
    else if (pieces.length > 0) headers.push('transfer-encoding', 'chunked')
    if (trailers.length > 0) headers.push('trailer', 'x-sum')
    const request = http.request({
      ...{ port: this.#port, host: '127.0.0.1', agent, method, path },
      headers: headers as unknown as http.OutgoingHttpHeaders,
    })
    const informational: { status: number; link: string }[] = []
    request.on('information', ({ statusCode, rawHeaders }) => {
      informational.push({ status: statusCode, link: rawHeaders[1] ?? '' })
    })
    for (const piece of piecesOf(pieces)) request.write(piece)
    if (trailers.length > 0) request.addTrailers(trailers as [string, string][])
    request.end()
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    return {
      status: response.statusCode ?? 0,
      rawHeaders: response.rawHeaders,
      informational,
      body: Buffer.concat(chunks),
      rawTrailers: response.rawTrailers,
    }
  }

  async close(): Promise<void> {
    this.#agent.destroy()
  }
}

class Http2Caller implements PlannedCaller {
  readonly #session: http2.ClientHttp2Session

  constructor(port: number) {
    this.#session = http2.connect(`http://127.0.0.1:${port}`)
  }

  async send(plan: RequestPlan): Promise<Received> {
    const stream = this.#session.request(
      {
        ':method': plan.method,
        ':path': plan.path,
        ':authority': 'api.example:81',
        ...byName(plan.fields),
        ...(plan.hasLength ? { 'content-length': lengthOfPieces(plan.pieces) } : {}),
      },
      { endStream: plan.pieces.length === 0, waitForTrailers: plan.trailers.length > 0 },
    )
    const informational: { status: number; link: string }[] = []
    let rawTrailers: string[] = []
    stream.on('wantTrailers', () => stream.sendTrailers(byName(plan.trailers)))
    stream.on('headers', (headers: StatusHeaders, _flags: number, raw: string[]) => {
      informational.push({ status: headers[':status'] ?? 0, link: valueOf(raw, 'link') })
    })
    stream.on('trailers', (_headers: StatusHeaders, _flags: number, raw: string[]) => {
      rawTrailers = raw
    })
    for (const piece of piecesOf(plan.pieces)) stream.write(piece)
    if (plan.pieces.length > 0) stream.end()
    const chunks: Buffer[] = []
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    const ended = once(stream, 'close')
    const [headers, , raw] = (await once(stream, 'response')) as [StatusHeaders, number, string[]]
    await ended
    return {
      status: headers[':status'] ?? 0,
      rawHeaders: raw,
      informational,
      body: Buffer.concat(chunks),
      rawTrailers,
    }
  }

  async close(): Promise<void> {
    this.#session.close()
    await once(this.#session, 'close')
  }
}

type StatusHeaders = http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader

function valueOf(raw: readonly string[], name: string): string {
  const at = raw.findIndex((text, i) => i % 2 === 0 && text === name)
  return at === -1 ? '' : (raw[at + 1] ?? '')
}
