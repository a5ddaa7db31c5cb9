import { type ClientReadableStream, Metadata, type ServiceError, credentials } from '@grpc/grpc-js'
import {
  SpiffeWorkloadAPIClient,
  type X509BundlesResponse,
  type X509SVIDResponse,
} from '../../../src/workload-api/generated/workload.ts'
import { eventually } from '../../workload-api/support/eventually.ts'

/** The Workload API as the generated grpc-js client sees it, without anything of ours in between. */
export class RawClient {
  readonly client: SpiffeWorkloadAPIClient

  constructor(socketPath: string) {
    this.client = new SpiffeWorkloadAPIClient(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    })
  }

  fetchSvids(header = securityHeader('true')): RawStream<X509SVIDResponse> {
    return new RawStream(this.client.fetchX509Svid({}, header))
  }

  fetchBundles(): RawStream<X509BundlesResponse> {
    return new RawStream(this.client.fetchX509Bundles({}, securityHeader('true')))
  }

  close(): void {
    this.client.close()
  }
}

/** Collects what a stream sent and how it ended. */
export class RawStream<T> {
  readonly messages: T[] = []
  /** The status code; undefined while the stream is open. */
  code: number | undefined
  readonly #call: ClientReadableStream<T>

  constructor(call: ClientReadableStream<T>) {
    this.#call = call
    call.on('data', (message: T) => this.messages.push(message))
    call.on('error', (_error: ServiceError) => undefined)
    call.on('status', ({ code }) => (this.code = code))
  }

  /** The message with this number, counted from 0, when it is there. */
  async message(index: number): Promise<T> {
    await eventually(() => this.messages.length > index || this.code !== undefined)
    const message = this.messages[index]
    if (message === undefined) throw new Error(`stream ended with ${this.code} before it`)
    return message
  }

  async ended(): Promise<number> {
    await eventually(() => this.code !== undefined)
    return this.code ?? -1
  }

  /** Stops reading, until `resume`. */
  pause(): void {
    this.#call.pause()
  }

  resume(): void {
    this.#call.resume()
  }

  cancel(): void {
    this.#call.cancel()
  }
}

/** Metadata with these values of `workload.spiffe.io`. */
export function securityHeader(...values: string[]): Metadata {
  const metadata = new Metadata()
  for (const value of values) metadata.add('workload.spiffe.io', value)
  return metadata
}
