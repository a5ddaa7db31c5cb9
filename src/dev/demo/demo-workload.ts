import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the workload of the demo answers: who it was told is calling. */
export interface WorkloadAnswer {
  readonly product: string
  readonly principal: string
  readonly credential: string
  /** The id of the decision, unless the caller sent a request id of its own. */
  readonly requestId: string
  /** Names of the header fields that came and could hold a credential: none, when the sidecar does its work. */
  readonly credentialFields: readonly string[]
}

/**
 * Runs the workload that the demo's sidecar stands beside, until the signal aborts: plain HTTP on a free port of the loopback
 * interface, which `onListening` gets. It knows nothing of TLS, SPIFFE or keys; it believes the headers.
 */
export async function runDemoWorkload(
  signal: AbortSignal,
  onListening: (port: number) => void,
): Promise<void> {
  const server = createServer((request, reply) => {
    request.resume()
    reply.setHeader('content-type', 'application/json')
    reply.end(`${JSON.stringify(answerTo(request))}\n`)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.once('close', resolve)
    signal.addEventListener('abort', () => {
      server.close()
      server.closeAllConnections()
    })
    if (signal.aborted) resolve()
    else server.listen(0, '127.0.0.1', () => onListening((server.address() as AddressInfo).port))
  })
}

function answerTo({ headers }: IncomingMessage): WorkloadAnswer {
  const field = (name: string) => String(headers[name] ?? '')
  return {
    product: field('x-postern-product'),
    principal: field('x-postern-principal'),
    credential: field('x-postern-credential'),
    requestId: field('x-request-id'),
    credentialFields: ['x-api-key', 'authorization'].filter((name) => headers[name] !== undefined),
  }
}
