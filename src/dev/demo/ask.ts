import type { IncomingMessage } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import type { PeerCertificate } from 'node:tls'
import { Client, credentials, status as grpcStatus } from '@grpc/grpc-js'
import type { Clock } from '../../core/clock.ts'
import type { Call } from './calls.ts'
import type { DemoFiles } from './demo-files.ts'
import type { WorkloadAnswer } from './demo-workload.ts'

/** What a caller got to see. */
export interface Reply {
  /** As in `ExpectedAnswer`. */
  readonly status: string
  readonly decisionId: string
  /** What the workload was told; absent when the sidecar answered in its place. */
  readonly told?: WorkloadAnswer
  /** The reason code that the sidecar gave. */
  readonly reason?: string
}

export interface AskContext {
  readonly files: DemoFiles
  /** The sidecar's one port on 127.0.0.1. */
  readonly port: number
  readonly clock: Clock
  /** Ends the call. */
  readonly signal: AbortSignal
}

/** The identity of the sidecar, which every caller checks. */
export const sidecarId = 'spiffe://corp.example/api'

/** What every caller asks for; the only thing that an API key opens. */
export const askedPath = '/v1/reports/today'

const timeoutMs = 5_000
const largestReply = 64 * 1024

/** Calls the one port over a connection of its own. Rejects when there is no answer, or the sidecar is not who it should be. */
export async function ask(call: Call, context: AskContext): Promise<Reply> {
  const roots = await context.files.bundle('corp.example')
  return call.protocol === 'grpc' ? askGrpc(roots, context) : askHttps(call, roots, context)
}

async function askHttps(call: Call, roots: string, context: AskContext): Promise<Reply> {
  const { files, port, signal } = context
  const own = call.certificate === undefined ? {} : await files.certificate(call.certificate)
  const key = call.apiKey === undefined ? {} : { 'x-api-key': await files.apiKey(call.apiKey) }
  const [status, body] = await send({
    host: '127.0.0.1',
    port,
    path: askedPath,
    // A caller can write what it wants: the sidecar removes its copies of the headers that the workload believes.
    headers: { ...key, 'x-postern-product': 'forged', 'x-postern-principal': 'forged' },
    ca: roots,
    ...own,
    checkServerIdentity,
    agent: false,
    timeout: timeoutMs,
    signal,
  })
  return readReply(status, body)
}

/** SPIFFE: a peer is known by its ID, not by a DNS name. The chain has been verified before. */
function checkServerIdentity(_host: string, certificate: PeerCertificate): Error | undefined {
  if (certificate.subjectaltname === `URI:${sidecarId}`) return undefined
  return new Error(`the sidecar is not ${sidecarId}`)
}

function send(options: RequestOptions): Promise<readonly [status: number, body: string]> {
  return new Promise((resolve, reject) => {
    const sent = request(options, (reply) => {
      readText(reply).then((body) => resolve([reply.statusCode ?? 0, body]), reject)
    })
    sent.once('timeout', () => sent.destroy(new Error(`no answer in ${timeoutMs} ms`)))
    sent.once('error', reject)
    sent.end()
  })
}

async function readText(reply: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of reply.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk
    if (text.length > largestReply) throw new Error('the answer is too long')
  }
  return text
}

function readReply(status: number, body: string): Reply {
  if (status === 200) {
    const told = JSON.parse(body) as WorkloadAnswer
    return { status: '200', decisionId: told.requestId, told }
  }
  const problem = JSON.parse(body) as { readonly reason: string; readonly decision_id: string }
  return { status: String(status), decisionId: problem.decision_id, reason: problem.reason }
}

/** A call without credentials by a gRPC client as it comes. */
function askGrpc(roots: string, { port, clock }: AskContext): Promise<Reply> {
  const channel = credentials.createSsl(Buffer.from(roots), null, null, { checkServerIdentity })
  const client = new Client(`127.0.0.1:${port}`, channel, {
    'grpc.ssl_target_name_override': 'localhost',
    'grpc.enable_http_proxy': 0,
  })
  const reply = new Promise<Reply>((resolve) => {
    const empty = () => Buffer.alloc(0)
    const options = { deadline: clock.now() + timeoutMs }
    client.makeUnaryRequest('/reports.Reports/Today', empty, empty, {}, options, (error) => {
      resolve(readGrpcReply(error?.code ?? grpcStatus.OK, error?.details ?? ''))
    })
  })
  return reply.finally(() => client.close())
}

/** `reason: sentence (decision id)`. */
function readGrpcReply(code: number, message: string): Reply {
  const [, reason = '', decisionId = ''] = /^(\w+): .* \(decision (\S+)\)$/.exec(message) ?? []
  return { status: `grpc ${code}`, decisionId, reason }
}
