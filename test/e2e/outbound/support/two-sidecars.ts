import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../../src/core/clock.ts'
import { silentLogger } from '../../../../src/core/logger.ts'
import { DevAgent } from '../../../../src/dev/dev-agent.ts'
import { PosternProcess, temporaryDirectory } from '../../../support/postern-process.ts'

/** Of the sidecar that calls. */
export const shopId = 'spiffe://corp.example/shop'
/** Of the sidecar that is called, in a federated trust domain. */
export const billingId = 'spiffe://partner-a.example/billing'

export interface TwoSidecarsOptions {
  /** `host:port` of the workload that is called. */
  readonly workload: string
  readonly protocol?: 'http' | 'tcp'
  readonly expect?: string
}

/** Two built sidecars back to back, each with an identity of its own in a trust domain of its own. */
export class TwoSidecars {
  readonly agent: DevAgent
  readonly shop: PosternProcess
  readonly billing: PosternProcess
  readonly #directory: string

  private constructor(
    agent: DevAgent,
    shop: PosternProcess,
    billing: PosternProcess,
    directory: string,
  ) {
    this.agent = agent
    this.shop = shop
    this.billing = billing
    this.#directory = directory
  }

  static async start(options: TwoSidecarsOptions): Promise<TwoSidecars> {
    const { workload, protocol = 'http', expect = billingId } = options
    const directory = await temporaryDirectory()
    const agent = await startAgent(directory)
    const billing = await PosternProcess.start({
      files: {
        'postern.yaml': {
          ...common(join(directory, 'billing.sock')),
          inbound: { listen: '127.0.0.1:0', upstream: workload, protocol },
        },
        'products.yaml': {
          version: 1,
          products: { invoices: { callers: [{ spiffeId: shopId }] } },
        },
      },
    })
    const shop = await PosternProcess.start({
      files: {
        'postern.yaml': {
          ...common(join(directory, 'shop.sock')),
          inbound: { listen: '127.0.0.1:0' },
          outbound: [
            { listen: '127.0.0.1:0', upstream: `127.0.0.1:${billing.port}`, expect, protocol },
          ],
        },
        'products.yaml': { version: 1, products: {} },
      },
    })
    return new TwoSidecars(agent, shop, billing, directory)
  }

  /** Where the workload of the shop connects to. */
  get port(): number {
    return this.shop.outboundPorts[0]!
  }

  async close(): Promise<void> {
    await this.shop.stop()
    await this.billing.stop()
    await this.agent.close()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

async function startAgent(directory: string): Promise<DevAgent> {
  const agent = await DevAgent.start({
    clock: systemClock,
    logger: silentLogger,
    trustDomains: ['corp.example', 'partner-a.example'],
    propagationMs: 0,
  })
  await agent.listen({ socketPath: join(directory, 'shop.sock'), spiffeId: shopId })
  await agent.listen({ socketPath: join(directory, 'billing.sock'), spiffeId: billingId })
  return agent
}

function common(socketPath: string) {
  return {
    identity: { workloadApi: `unix://${socketPath}` },
    health: { listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
  }
}

export interface PlainReply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly json: Readonly<Record<string, unknown>>
  readonly text: string
}

/** One request in plaintext, as a workload makes it. */
export function callPlain(port: number, headers: Record<string, string> = {}): Promise<PlainReply> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { port, agent: false, path: '/v1/invoices', headers },
      (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('error', reject)
        response.on('end', () => {
          const json = text.startsWith('{') ? (JSON.parse(text) as PlainReply['json']) : {}
          resolve({ status: response.statusCode ?? 0, headers: response.headers, json, text })
        })
      },
    )
    request.on('error', reject)
    request.end()
  })
}
