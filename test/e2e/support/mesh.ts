import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/core/logger.ts'
import { DevAgent } from '../../../src/dev/dev-agent.ts'
import { createApiKey, type NewApiKey } from '../../../src/policy/api-key.ts'
import { type Files, PosternProcess, temporaryDirectory } from '../../support/postern-process.ts'
import { TestCa } from '../../support/test-ca.ts'
import { Workload } from '../../support/workload.ts'
import { Caller, type CallerIdentity, identityOf } from './caller.ts'

export const sidecarId = 'spiffe://corp.example/sidecar'
export const checkoutId = 'spiffe://corp.example/checkout/web'

/** The fields of an entry of api-keys.yaml beside `id` and `sha256`. */
export interface KeyTerms {
  readonly product: string
  readonly consumer?: string
  readonly notBefore?: string
  readonly expires?: string
}

export interface MeshOptions {
  /** Members of `inbound` beside `listen` and `upstream`. */
  readonly inbound?: Readonly<Record<string, unknown>>
  /** Further members of postern.yaml; they win. */
  readonly config?: Readonly<Record<string, unknown>>
  /** `products` of products.yaml. Default: one for each kind of caller. */
  readonly products?: Readonly<Record<string, unknown>>
  /** Further members of entries of `authorities`. */
  readonly authorities?: { readonly 'partner-b'?: object; readonly 'partner-c'?: object }
  /** By a name for the test. */
  readonly keys?: Readonly<Record<string, KeyTerms>>
  /** Names in the sidecar's SVID beside its SPIFFE ID, for callers that look at nothing else. */
  readonly dnsNames?: readonly string[]
  /** Validity of SVIDs, milliseconds. */
  readonly svidTtlMs?: number
  /** The agent's socket is not there at the start. */
  readonly withoutAgent?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** One product for each kind of caller, as in examples/three-callers. */
export const threeCallers = {
  checkout: { callers: [{ spiffeId: 'spiffe://corp.example/checkout/**' }] },
  payments: { callers: [{ trustDomain: 'partner-a.example' }] },
  settlement: { callers: [{ authority: 'partner-b' }] },
  reports: { apiKeys: 'accept' },
}

/**
 * Everything around one sidecar process: the embedded agent for our own trust domain corp.example and the federated
 * partner-a.example; partner-b, an authority outside SPIFFE; partner-c, an authority that speaks for partner-c.example, whose
 * certificates a test can make as bad as it likes; and a workload that echoes what it got.
 */
export class Mesh {
  readonly directory: string
  readonly agent: DevAgent
  readonly workload: Workload
  readonly partnerB: TestCa
  readonly partnerC: TestCa
  /** The keys that were asked for, by the test's name. */
  readonly keys: Readonly<Record<string, NewApiKey>>
  readonly #options: MeshOptions
  #postern: PosternProcess | undefined

  private constructor(parts: {
    directory: string
    agent: DevAgent
    workload: Workload
    partnerB: TestCa
    partnerC: TestCa
    options: MeshOptions
  }) {
    this.directory = parts.directory
    this.agent = parts.agent
    this.workload = parts.workload
    this.partnerB = parts.partnerB
    this.partnerC = parts.partnerC
    this.#options = parts.options
    const names = Object.keys(parts.options.keys ?? {})
    this.keys = Object.fromEntries(names.map((name) => [name, newKey()]))
  }

  /** Resolves when the sidecar is ready, or listens where it has no agent yet. */
  static async start(options: MeshOptions = {}): Promise<Mesh> {
    const mesh = await Mesh.prepare(options)
    try {
      await mesh.startPostern()
    } catch (error) {
      await mesh.close()
      throw error
    }
    return mesh
  }

  /** Everything but the sidecar. */
  static async prepare(options: MeshOptions = {}): Promise<Mesh> {
    const [directory, agent, workload, partnerB, partnerC] = await Promise.all([
      temporaryDirectory(),
      startAgent(options),
      Workload.start(),
      TestCa.root('partner-b'),
      TestCa.root('partner-c'),
    ])
    const mesh = new Mesh({ directory, agent, workload, partnerB, partnerC, options })
    if (options.withoutAgent !== true) await mesh.startAgent()
    return mesh
  }

  async startPostern(): Promise<PosternProcess> {
    const { withoutAgent, env = {} } = this.#options
    this.#postern = await PosternProcess.start({
      directory: this.directory,
      files: this.files(),
      env,
      until: withoutAgent === true ? 'listening' : 'ready',
    })
    return this.#postern
  }

  /** Opens the agent's socket for the sidecar. */
  async startAgent(): Promise<void> {
    await this.agent.addEntry(sidecarId, this.#options.dnsNames)
    await this.agent.listen({ socketPath: this.socketPath, spiffeId: sidecarId })
  }

  get socketPath(): string {
    return join(this.directory, 'agent.sock')
  }

  get postern(): PosternProcess {
    if (this.#postern === undefined) throw new TypeError('the sidecar was not started')
    return this.#postern
  }

  /** All files as they are written at the start. */
  files(): Files {
    return {
      'postern.yaml': this.#config(),
      'products.yaml': this.products(this.#options.products ?? threeCallers),
      'api-keys.yaml': { version: 1, keys: this.keyEntries() },
      'ca/partner-b.pem': this.partnerB.pem,
      'ca/partner-c.pem': this.partnerC.pem,
    }
  }

  /** products.yaml with these products. */
  products(products: Readonly<Record<string, unknown>>): object {
    const own = this.#options.authorities ?? {}
    return {
      version: 1,
      products,
      authorities: {
        'partner-b': { certificates: 'ca/partner-b.pem', ...own['partner-b'] },
        'partner-c': {
          certificates: 'ca/partner-c.pem',
          trustDomain: 'partner-c.example',
          ...own['partner-c'],
        },
      },
    }
  }

  /** A key as its client presents it. */
  key(name: string): string {
    return this.#key(name).key
  }

  /** Entries of api-keys.yaml for all keys but those that are named. */
  keyEntries(...without: readonly string[]): object[] {
    return Object.entries(this.#options.keys ?? {})
      .filter(([name]) => !without.includes(name))
      .map(([name, terms]) => {
        const { id, sha256 } = this.#key(name)
        return { id, sha256, consumer: 'acme', ...terms }
      })
  }

  /** A caller that presents nothing; it verifies the sidecar by its bundle and SPIFFE ID. */
  anonymous(): Caller {
    return new Caller({
      port: this.postern.port,
      sidecarBundle: this.agent.bundlePem('corp.example'),
      sidecarId,
    })
  }

  /** A caller that presents this. */
  caller(identity: CallerIdentity): Caller {
    return this.anonymous().with({ identity })
  }

  /** A caller with an SVID of one of the agent's trust domains. */
  async svidCaller(spiffeId: string, ttlMs?: number): Promise<Caller> {
    return this.caller(await this.mint(spiffeId, ttlMs))
  }

  /** An SVID of one of the agent's trust domains. */
  mint(spiffeId: string, ttlMs?: number): Promise<CallerIdentity> {
    const trustDomain = new URL(spiffeId).host
    return this.agent.mint({ trustDomain, spiffeId, ...(ttlMs === undefined ? {} : { ttlMs }) })
  }

  /** A caller with a certificate of partner-b, without a SPIFFE ID. */
  async partnerBCaller(subject = '/O=Partner B/CN=batch'): Promise<Caller> {
    return this.caller(identityOf(await this.partnerB.leaf({ subject })))
  }

  /** A caller with nothing but one of the keys. */
  keyCaller(name: string): Caller {
    return this.anonymous().with({ headers: { 'x-api-key': this.key(name) } })
  }

  async close(): Promise<void> {
    await this.#postern?.stop()
    await this.agent.close()
    await this.workload.close()
    await rm(this.directory, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #key(name: string): NewApiKey {
    const key = this.keys[name]
    if (key === undefined) throw new TypeError(`there is no key ${name}`)
    return key
  }

  #config(): object {
    const { inbound, config } = this.#options
    return {
      identity: { workloadApi: `unix://${this.socketPath}` },
      inbound: { listen: '127.0.0.1:0', upstream: this.workload.address, ...inbound },
      apiKeys: 'api-keys.yaml',
      health: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
      ...config,
    }
  }
}

function startAgent({ svidTtlMs }: MeshOptions): Promise<DevAgent> {
  return DevAgent.start({
    clock: systemClock,
    logger: silentLogger,
    trustDomains: ['corp.example', 'partner-a.example'],
    propagationMs: 0,
    ...(svidTtlMs === undefined ? {} : { svidTtlMs }),
  })
}

function newKey(): NewApiKey {
  return createApiKey((size) => crypto.getRandomValues(new Uint8Array(size)))
}
