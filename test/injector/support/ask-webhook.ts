import { type Agent, request as httpsRequest } from 'node:https'
import type { TLSSocket } from 'node:tls'

/** What API servers know the webhook by. */
export const webhookName = 'postern-webhook.postern.svc'

export interface Question {
  readonly port: number
  /** PEM of whom the caller trusts. */
  readonly ca: string
  readonly path?: string
  readonly method?: string
  readonly type?: string
  readonly body?: string
  readonly agent?: Agent
  /** The length of the body is not told. */
  readonly isChunked?: boolean
}

export interface WebhookReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
  /** Of the certificate that was served, upper-case hex. */
  readonly serial: string
}

/** One call, verified as an API server verifies it: by CA and by the name of the Service. */
export function askWebhook(question: Question): Promise<WebhookReply> {
  const { port, ca, path = '/inject/namespace', method = 'POST', body = '', agent } = question
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      ca,
      servername: webhookName,
      path,
      method,
      agent: agent ?? false,
      headers: { 'content-type': question.type ?? 'application/json' },
    })
    request.once('error', reject)
    request.once('response', (response) => {
      const serial =
        'getPeerCertificate' in response.socket
          ? (response.socket as TLSSocket).getPeerCertificate().serialNumber
          : ''
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text,
          serial,
        }),
      )
    })
    if (question.isChunked === true) request.flushHeaders()
    request.end(body)
  })
}
