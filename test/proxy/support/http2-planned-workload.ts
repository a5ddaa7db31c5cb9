import http from 'node:http'
import http2 from 'node:http2'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { lengthOfPieces, type Pairs, piecesOf, type ReplyPlan } from './http2-message.ts'

/** A request as Node's own parser gave it to the workload. */
export interface Arrived {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly authority: string
  body: Buffer
  rawTrailers: readonly string[]
}

type Request = http.IncomingMessage | http2.Http2ServerRequest
type Response = http.ServerResponse | http2.Http2ServerResponse

/** A workload on Node's HTTP/1.1 or HTTP/2 server that answers by plan and remembers what came. */
export class PlannedWorkload {
  /** Why its parser or its streams complained. */
  readonly errors: Error[] = []
  plan: ReplyPlan | undefined
  readonly #server: http.Server | http2.Http2Server
  readonly #sessions = new Set<http2.ServerHttp2Session>()
  readonly #arrivals: Promise<Arrived>[] = []

  private constructor(protocol: 'http1' | 'h2c') {
    const onRequest = (request: Request, response: Response): void => {
      this.#arrivals.push(this.#handle(request, response))
    }
    if (protocol === 'http1') {
      this.#server = http.createServer(onRequest)
      this.#server.on('clientError', (error) => {
        if (!isCut(error)) this.errors.push(error)
      })
    } else {
      this.#server = http2.createServer(onRequest)
      this.#server.on('sessionError', (error: Error) => this.errors.push(error))
      this.#server.on('session', (session) => this.#sessions.add(session))
    }
  }

  static async start(protocol: 'http1' | 'h2c'): Promise<PlannedWorkload> {
    const workload = new PlannedWorkload(protocol)
    workload.#server.listen(0, '127.0.0.1')
    await once(workload.#server, 'listening')
    return workload
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The oldest request that was not asked for yet; it must have come. */
  async next(): Promise<Arrived> {
    const arrival = this.#arrivals.shift()
    if (arrival === undefined) throw new Error('no request came')
    return await arrival
  }

  get unexpected(): number {
    return this.#arrivals.length
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    if (this.#server instanceof http.Server) this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #handle(request: Request, response: Response): Promise<Arrived> {
    const { plan } = this
    if (plan === undefined) throw new Error('no plan')
    const arrived: Arrived = {
      method: request.method ?? '',
      url: request.url ?? '',
      rawHeaders: request.rawHeaders,
      authority:
        request instanceof http2.Http2ServerRequest
          ? request.authority
          : (request.headers.host ?? ''),
      body: Buffer.alloc(0),
      rawTrailers: [],
    }
    const whole = read(request, arrived)
    if (!plan.isEarly) await whole
    send(response, request.method === 'HEAD' ? { ...plan, trailers: [] } : plan)
    if (plan.isEarly) request.on('error', () => undefined)
    else await whole
    return arrived
  }
}

/** The rest of a request that was answered early does not come. */
function isCut(error: Error): boolean {
  return 'code' in error && error.code === 'HPE_INVALID_EOF_STATE'
}

async function read(request: Request, arrived: Arrived): Promise<void> {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => request.on('end', resolve))
  arrived.body = Buffer.concat(chunks)
  arrived.rawTrailers = request.rawTrailers
}

/** Both kinds of responses have these; their types have no common ground. */
interface CommonResponse {
  statusCode: number
  appendHeader(name: string, value: string): unknown
  setHeader(name: string, value: string | number): unknown
  writeEarlyHints(hints: Record<string, string>): unknown
  write(chunk: Buffer): boolean
  addTrailers(trailers: Record<string, readonly string[]>): void
  end(): void
}

function send(any: Response, plan: ReplyPlan): void {
  const response = any as unknown as CommonResponse
  for (const link of plan.hints) response.writeEarlyHints({ link })
  response.statusCode = plan.status
  for (const [name, value] of plan.fields) response.appendHeader(name, value)
  if (plan.hasLength) response.setHeader('content-length', lengthOfPieces(plan.pieces))
  if (plan.trailers.length > 0 && any instanceof http.ServerResponse) {
    response.setHeader('trailer', 'x-sum')
  }
  for (const piece of piecesOf(plan.pieces)) response.write(piece)
  if (plan.trailers.length > 0) response.addTrailers(byName(plan.trailers))
  response.end()
}

export function byName(pairs: Pairs): Record<string, string[]> {
  const values: Record<string, string[]> = {}
  for (const [name, value] of pairs) (values[name] ??= []).push(value)
  return values
}
