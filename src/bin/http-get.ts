import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { messageOf } from '../core/errors.ts'

/** What somebody answered, in full. */
export interface HttpAnswer {
  readonly status: number
  readonly text: string
}

export interface HttpGetLimits {
  /** For the whole answer, milliseconds. */
  readonly patienceMs: number
  /** Bytes of its body. */
  readonly largestAnswer: number
}

/**
 * Asks a port of a sidecar. Throws for what is no answer, in time and of that size. Not by `fetch`, which asks no port that a
 * browser must not, such as 6000 or 10080, and which follows an answer elsewhere.
 */
export async function httpGet(
  address: string,
  path: string,
  limits: HttpGetLimits,
): Promise<HttpAnswer> {
  const signal = AbortSignal.timeout(limits.patienceMs)
  try {
    return await ask(`http://${address}${path}`, limits, signal)
  } catch (cause) {
    const why = signal.aborted
      ? `no whole answer within ${limits.patienceMs / 1_000} s`
      : describe(cause)
    throw new Error(why, { cause })
  }
}

async function ask(
  url: string,
  { largestAnswer }: HttpGetLimits,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const request = get(url, { agent: false, signal })
  const [reply] = (await once(request, 'response')) as [IncomingMessage]
  // What goes wrong from here on is told by the reply.
  request.on('error', () => undefined)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of reply as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > largestAnswer) {
      throw new RangeError(`the answer is larger than ${largestAnswer / 1_048_576} MiB`)
    }
    chunks.push(chunk)
  }
  return { status: reply.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
}

/** A name of two addresses, of which neither took the connection, has an error without a message. */
function describe(thrown: unknown): string {
  return thrown instanceof AggregateError && thrown.message === ''
    ? thrown.errors.map(messageOf).join(', ')
    : messageOf(thrown)
}
