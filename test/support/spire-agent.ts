import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseCertificates, type Certificate } from '../../src/x509/certificate.ts'
import { SpireProcess, logTail, spireCommand, succeeds, until } from './spire-process.ts'

const configuration = join(import.meta.dirname, '../../spire/agent.conf')

/** What the Workload API hands out to this process. */
export interface FetchedX509 {
  readonly svids: readonly FetchedSvid[]
  /** By the SPIFFE ID of the trust domain. */
  readonly federatedBundles: ReadonlyMap<string, readonly Certificate[]>
}

/** One X.509-SVID of the Workload API's reply. */
export interface FetchedSvid {
  readonly spiffeId: string
  readonly hint: string
  /** The leaf first. */
  readonly chain: readonly Certificate[]
  readonly bundle: readonly Certificate[]
}

export interface SpireAgentOptions {
  readonly binary: string
  readonly folder: string
  /** What the configuration reads from the environment. */
  readonly environment: Readonly<Record<string, string>>
  /** Makes a join token; each is good for one start. */
  readonly joinToken: () => Promise<string>
}

/** A SPIRE agent, down until `start`. Its identity stays on disk, so it comes back after `kill` and `start` without a new token. */
export class SpireAgent {
  readonly #options: SpireAgentOptions
  #process: SpireProcess | undefined
  #spiffeId = ''

  constructor(options: SpireAgentOptions) {
    this.#options = options
  }

  /** Absolute path of its Workload API. */
  get socketPath(): string {
    return join(this.#options.folder, 'agent.sock')
  }

  /** For SPIFFE_ENDPOINT_SOCKET. */
  get endpoint(): string {
    return `unix://${this.socketPath}`
  }

  /** The agent's own SPIFFE ID, by which the server evicts it. */
  get spiffeId(): string {
    return this.#spiffeId
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false
  }

  get log(): string {
    return logTail(this.#logFile)
  }

  /** Starts it, or starts it again, and waits until it is healthy. */
  async start(): Promise<void> {
    const { binary, environment, folder } = this.#options
    mkdirSync(join(folder, 'data'), { recursive: true })
    const options = ['run', '-config', configuration, '-expandEnv']
    if (!this.#hasAttested) options.push('-joinToken', await this.#newToken())
    this.#process = SpireProcess.start(
      binary,
      options,
      { ...environment, SPIRE_AGENT_DIR: folder },
      this.#logFile,
    )
    await until('the agent is healthy', () => this.#isHealthy()).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.log}`, { cause: error })
    })
  }

  /** As a crash would end it: no goodbye to the workloads. */
  async kill(): Promise<void> {
    await this.#process?.kill('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#process?.kill('SIGTERM')
  }

  /** Resolves when it ended by itself, as an evicted agent does. */
  async exited(): Promise<void> {
    await this.#process?.exited
  }

  /** Forgets who it is, as an evicted agent has to before it may come back. */
  forget(): void {
    rmSync(join(this.#options.folder, 'data'), { recursive: true, force: true })
  }

  /** What this process gets from the Workload API. Rejects with PermissionDenied when there is no identity for it. */
  async fetchX509(): Promise<FetchedX509> {
    const options = ['api', 'fetch', 'x509', '-socketPath', this.socketPath, '-output', 'json']
    const reply = await spireCommand(this.#options.binary, options)
    return parseFetched(JSON.parse(reply) as FetchReply)
  }

  /** Asks until the Workload API's answer is as wanted, and resolves to it. */
  async waitForX509(
    what: string,
    isWanted: (fetched: FetchedX509) => boolean,
  ): Promise<FetchedX509> {
    return until(what, async () => {
      const fetched = await this.fetchX509().catch(() => undefined)
      return fetched !== undefined && isWanted(fetched) ? fetched : undefined
    })
  }

  /** Asks until the Workload API has no identity for this process. */
  async waitForNoIdentity(): Promise<void> {
    await until('the Workload API denies', () =>
      this.fetchX509().then(
        () => undefined,
        (error: unknown) => (String(error).includes('PermissionDenied') ? error : undefined),
      ),
    )
  }

  get #logFile(): string {
    return join(this.#options.folder, 'agent.log')
  }

  get #hasAttested(): boolean {
    return existsSync(join(this.#options.folder, 'data/agent-data.json'))
  }

  async #newToken(): Promise<string> {
    const token = await this.#options.joinToken()
    const trustDomain = this.#options.environment['SPIRE_TRUST_DOMAIN'] ?? ''
    this.#spiffeId = `spiffe://${trustDomain}/spire/agent/join_token/${token}`
    return token
  }

  #isHealthy(): Promise<true | undefined> {
    if (!this.isRunning) throw new Error(`the agent ended\n${this.log}`)
    return succeeds(this.#options.binary, ['healthcheck', '-socketPath', this.socketPath])
  }
}

/** The JSON that `spire-agent api fetch x509` prints: the Workload API's message, bytes in base64. */
interface FetchReply {
  readonly svids: readonly {
    readonly spiffe_id: string
    readonly hint: string
    readonly x509_svid: string
    readonly bundle: string
  }[]
  readonly federated_bundles: Readonly<Record<string, string>>
}

function parseFetched(reply: FetchReply): FetchedX509 {
  return {
    svids: reply.svids.map((svid) => ({
      spiffeId: svid.spiffe_id,
      hint: svid.hint,
      chain: certificates(svid.x509_svid),
      bundle: certificates(svid.bundle),
    })),
    federatedBundles: new Map(
      Object.entries(reply.federated_bundles).map(([id, bundle]) => [id, certificates(bundle)]),
    ),
  }
}

function certificates(base64: string): readonly Certificate[] {
  return parseCertificates(Buffer.from(base64, 'base64'))
}
