import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { Certificate } from '../../src/x509/certificate.ts'
import { freePort } from './free-port.ts'
import { SpireAgent } from './spire-agent.ts'
import { SpireProcess, logTail, spireCommand, succeeds, until } from './spire-process.ts'

const configuration = join(import.meta.dirname, '../../spire/server.conf')

/** Where the programs are, and which of the places it was. */
export interface SpireBinaries {
  readonly server: string
  readonly agent: string
  readonly from: 'SPIRE_BIN' | 'PATH'
}

/** How long things live. SPIRE's own words: `30s`, `1h`. */
export interface SpireLifetimes {
  /** Default `30s`; the agent renews at half of it, so about every ten seconds. */
  readonly svidTtl?: string
  /** Default `24h`: CAs are rotated on command. */
  readonly caTtl?: string
}

export interface SpireDomainOptions extends SpireLifetimes {
  readonly binaries: SpireBinaries
  readonly trustDomain: string
  readonly folder: string
}

/** A registration: which process gets which SPIFFE ID. */
export interface SpireEntry {
  readonly spiffeId: string
  readonly hint?: string
  readonly ttlSeconds?: number
  /** Trust domains whose bundles come with it; their bundles must be known first. */
  readonly federatesWith?: readonly string[]
  readonly dnsNames?: readonly string[]
  /** Default: every process of this user. */
  readonly selectors?: readonly string[]
  /** The agent that hands it out. Default: the domain's first. */
  readonly agent?: string
}

/** PEM of a certificate that the server signed on request, without an agent. */
export interface MintedSvid {
  readonly certificatePem: string
  readonly privateKeyPem: string
  readonly bundlePem: string
}

/** The X.509 authorities of a server by their state; an id is the subject key identifier in hex. */
export interface SpireAuthorities {
  readonly active: string
  readonly prepared: string | undefined
  readonly old: string | undefined
}

const firstAgent = 'workload'

/**
 * One trust domain of a real SPIRE: a server and its agents. A process is told apart by its user only, so each workload
 * that shall have an identity of its own gets an agent of its own (`startAgent`).
 */
export class SpireDomain {
  readonly trustDomain: string
  readonly #options: SpireDomainOptions
  readonly #agents = new Map<string, SpireAgent>()
  readonly #entries = new Map<string, SpireEntry>()
  #server: SpireProcess | undefined
  #port = 0

  private constructor(options: SpireDomainOptions) {
    this.#options = options
    this.trustDomain = options.trustDomain
  }

  /** Starts the server and the first agent; both are healthy when it resolves. */
  static async start(options: SpireDomainOptions): Promise<SpireDomain> {
    const domain = new SpireDomain(options)
    try {
      await domain.#startAll()
    } catch (error) {
      await domain.close()
      throw error
    }
    return domain
  }

  /** The first agent. */
  get agent(): SpireAgent {
    return this.agentNamed(firstAgent)
  }

  agentNamed(name: string): SpireAgent {
    const agent = this.#agents.get(name)
    if (agent === undefined) throw new TypeError(`no agent ${name} in ${this.trustDomain}`)
    return agent
  }

  /** One more agent, for a workload that shall have identities of its own. */
  async startAgent(name: string): Promise<SpireAgent> {
    const folder = join(this.#options.folder, name)
    mkdirSync(folder)
    chmodSync(folder, 0o755)
    const agent = new SpireAgent({
      binary: this.#options.binaries.agent,
      folder,
      environment: this.#environment(),
      joinToken: () => this.#joinToken(name),
    })
    this.#agents.set(name, agent)
    await agent.start()
    return agent
  }

  /**
   * Registers a workload and resolves to the entry's id; its agent knows within half a second. SPIRE refuses a second entry
   * with the same agent, SPIFFE ID and selectors.
   */
  async createEntry(entry: SpireEntry): Promise<string> {
    const options = ['entry', 'create', ...this.#entryOptions(entry), '-output', 'json']
    const reply = JSON.parse(await this.#ask(options)) as CreateReply
    const result = reply.results[0]
    const id = result?.entry?.id
    if (id === undefined || result?.status.code !== 0) {
      throw new Error(`entry create: ${JSON.stringify(reply)}`)
    }
    this.#entries.set(id, entry)
    return id
  }

  /** Changes what is given and keeps the rest. */
  async updateEntry(id: string, changes: Partial<SpireEntry>): Promise<void> {
    const before = this.#entries.get(id)
    if (before === undefined) throw new TypeError(`no entry ${id}`)
    const entry = { ...before, ...changes }
    await this.#ask(['entry', 'update', '-entryID', id, ...this.#entryOptions(entry)])
    this.#entries.set(id, entry)
  }

  async deleteEntry(id: string): Promise<void> {
    await this.#ask(['entry', 'delete', '-entryID', id])
    this.#entries.delete(id)
  }

  async authorities(): Promise<SpireAuthorities> {
    const options = ['localauthority', 'x509', 'show', '-output', 'json']
    const { active, prepared, old } = JSON.parse(await this.#ask(options)) as AuthoritiesReply
    if (active === undefined) throw new Error('the server has no active X.509 authority')
    return {
      active: active.authority_id,
      prepared: prepared?.authority_id,
      old: old?.authority_id,
    }
  }

  /** Puts a new CA into the bundle and resolves to its id; nothing is signed by it yet. */
  async prepareCa(): Promise<string> {
    const options = ['localauthority', 'x509', 'prepare', '-output', 'json']
    const { prepared_authority: prepared } = JSON.parse(await this.#ask(options)) as PrepareReply
    return prepared.authority_id
  }

  /** From now on this CA signs; the one before is `old`. */
  async activateCa(id: string): Promise<void> {
    await this.#ask(['localauthority', 'x509', 'activate', '-authorityID', id])
  }

  /**
   * Has every SVID of the old CA issued again at once. Resolves when the server's own is of another CA too, which takes it five
   * seconds: until then a new agent that knows only the others cannot attest.
   */
  async taintCa(id: string): Promise<void> {
    await this.#ask(['localauthority', 'x509', 'taint', '-authorityID', id])
    await until('the server has an SVID of another CA', async () => {
      return (await this.#issuerOfServer()) !== id || undefined
    })
  }

  /** Takes the old and tainted CA out of the bundle. */
  async revokeCa(id: string): Promise<void> {
    await this.#ask(['localauthority', 'x509', 'revoke', '-authorityID', id])
  }

  /** The bundle in PEM. */
  bundlePem(): Promise<string> {
    return this.#ask(['bundle', 'show', '-format', 'pem'])
  }

  /** Takes over another trust domain's bundle as it is now; entries with `federatesWith` hand it out. */
  async setBundleOf(other: SpireDomain): Promise<void> {
    const file = join(this.#options.folder, `${other.trustDomain}.json`)
    writeFileSync(file, await other.#ask(['bundle', 'show', '-format', 'spiffe']))
    const id = `spiffe://${other.trustDomain}`
    await this.#ask(['bundle', 'set', '-format', 'spiffe', '-id', id, '-path', file])
  }

  /** Forgets another trust domain's bundle, and takes it off every entry. */
  async deleteBundleOf(trustDomain: string): Promise<void> {
    const id = `spiffe://${trustDomain}`
    await this.#ask(['bundle', 'delete', '-id', id, '-mode', 'dissociate'])
  }

  /** Signs a certificate for any SPIFFE ID of this trust domain. */
  async mint(svid: {
    readonly spiffeId: string
    readonly ttlSeconds?: number
    readonly dnsNames?: readonly string[]
  }): Promise<MintedSvid> {
    const { spiffeId, ttlSeconds = 3600, dnsNames = [] } = svid
    const names = dnsNames.flatMap((name) => ['-dns', name])
    const options = ['x509', 'mint', '-spiffeID', spiffeId, '-ttl', `${ttlSeconds}s`, ...names]
    return parseMinted(await this.#ask(options))
  }

  /** Withdraws an agent's identity; the agent ends when it hears of it. */
  async evictAgent(agent: SpireAgent): Promise<void> {
    await this.#ask(['agent', 'evict', '-spiffeID', agent.spiffeId])
  }

  async stopServer(): Promise<void> {
    await this.#server?.kill('SIGTERM')
  }

  /** Starts the server again, with the CA and the entries that it had. */
  async startServer(): Promise<void> {
    this.#server = SpireProcess.start(
      this.#options.binaries.server,
      ['run', '-config', configuration, '-expandEnv'],
      this.#environment(),
      this.#logFile,
    )
    await until('the server is healthy', () => this.#isHealthy())
  }

  /** Ends agents and server at once; nothing of it is needed again. */
  async close(): Promise<void> {
    const agents = [...this.#agents.values()].map((agent) => agent.kill())
    await Promise.all([...agents, this.#server?.kill('SIGKILL')])
  }

  /** The last lines of every log. */
  get logs(): string {
    const agents = [...this.#agents.values()].map((agent) => agent.log)
    return [logTail(this.#logFile), ...agents].join('\n')
  }

  /** The id of the CA that has signed what the server presents to agents. */
  async #issuerOfServer(): Promise<string | undefined> {
    const socket = connect({ host: '127.0.0.1', port: this.#port, rejectUnauthorized: false })
    try {
      await once(socket, 'secureConnect')
      const { authorityKeyId } = Certificate.parse(socket.getPeerCertificate().raw).extensions
      return authorityKeyId?.toString('hex')
    } finally {
      socket.destroy()
    }
  }

  async #startAll(): Promise<void> {
    const { folder } = this.#options
    mkdirSync(join(folder, 'server'), { recursive: true })
    await this.#startOnFreePort()
    await this.startAgent(firstAgent)
  }

  /** Another process may take the port between our look and the server's bind. */
  async #startOnFreePort(attempts = 3): Promise<void> {
    this.#port = await freePort()
    try {
      await this.startServer()
    } catch (error) {
      if (attempts === 1 || !this.logs.includes('address already in use')) throw error
      await this.#startOnFreePort(attempts - 1)
    }
  }

  #isHealthy(): Promise<true | undefined> {
    if (this.#server?.isRunning !== true) throw new Error(`the server ended\n${this.logs}`)
    const { server } = this.#options.binaries
    return succeeds(server, ['healthcheck', '-socketPath', this.#socketPath])
  }

  /** A join token, beside the bundle as it is now: an agent that has not attested yet knows the server by nothing else. */
  async #joinToken(agent: string): Promise<string> {
    writeFileSync(join(this.#options.folder, 'bootstrap.pem'), await this.bundlePem())
    const options = ['token', 'generate', '-spiffeID', this.#idOfAgent(agent), '-output', 'json']
    return (JSON.parse(await this.#ask(options)) as { value: string }).value
  }

  /** The name by which entries know an agent, whatever token it attested with. */
  #idOfAgent(name: string): string {
    return `spiffe://${this.trustDomain}/agent/${name}`
  }

  #entryOptions(entry: SpireEntry): readonly string[] {
    const { spiffeId, hint, ttlSeconds, federatesWith = [], dnsNames = [] } = entry
    const selectors = entry.selectors ?? [`unix:uid:${process.getuid?.() ?? 0}`]
    return [
      ...['-parentID', this.#idOfAgent(entry.agent ?? firstAgent), '-spiffeID', spiffeId],
      ...selectors.flatMap((selector) => ['-selector', selector]),
      ...(hint === undefined ? [] : ['-hint', hint]),
      ...(ttlSeconds === undefined ? [] : ['-x509SVIDTTL', String(ttlSeconds)]),
      ...federatesWith.flatMap((name) => ['-federatesWith', `spiffe://${name}`]),
      ...dnsNames.flatMap((name) => ['-dns', name]),
    ]
  }

  #environment(): Readonly<Record<string, string>> {
    const { trustDomain, folder, svidTtl = '30s', caTtl = '24h' } = this.#options
    return {
      SPIRE_TRUST_DOMAIN: trustDomain,
      SPIRE_PORT: String(this.#port),
      SPIRE_DOMAIN_DIR: folder,
      SPIRE_LOG_LEVEL: 'DEBUG',
      SPIRE_CA_TTL: caTtl,
      SPIRE_SVID_TTL: svidTtl,
      SPIRE_AGENT_TTL: '1h',
      SPIRE_SYNC_INTERVAL: '200ms',
    }
  }

  #ask(options: readonly string[]): Promise<string> {
    const { server } = this.#options.binaries
    return spireCommand(server, [...options, '-socketPath', this.#socketPath])
  }

  get #socketPath(): string {
    return join(this.#options.folder, 'server.sock')
  }

  get #logFile(): string {
    return join(this.#options.folder, 'server.log')
  }
}

interface CreateReply {
  readonly results: readonly {
    readonly entry?: { readonly id: string }
    readonly status: { readonly code: number }
  }[]
}

interface PrepareReply {
  readonly prepared_authority: { readonly authority_id: string }
}

interface AuthoritiesReply {
  readonly active?: { readonly authority_id: string }
  readonly prepared?: { readonly authority_id: string }
  readonly old?: { readonly authority_id: string }
}

/** `x509 mint` prints three headings with PEM below each: the SVID, its key, the root CAs. */
function parseMinted(text: string): MintedSvid {
  const [svid = '', key = '', bundle = ''] = text
    .split(/^(?:X509-SVID|Private key|Root CAs):$/m)
    .slice(1)
    .map((part) => part.trim())
  return { certificatePem: svid, privateKeyPem: key, bundlePem: bundle }
}
