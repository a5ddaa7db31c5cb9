import { randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { appendKey } from '../../config/api-keys-edit.ts'
import type { Clock } from '../../core/clock.ts'
import { createApiKey } from '../../policy/api-key.ts'
import { SpiffeId } from '../../spiffe/spiffe-id.ts'
import { DevCa, type IssueOptions } from '../dev-ca.ts'
import { certificatesToPem, privateKeyToPem } from '../pem.ts'

/** The example that the demo plays; it stands beside dist/ as well as beside src/. */
const example = fileURLToPath(new URL('../../../examples/three-callers', import.meta.url))

const dayMs = 86_400_000

/** The files of one demo: those of `examples/three-callers`, what a partner outside SPIFFE brings along, and API keys. */
export class DemoFiles {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Fills an empty directory, which only its owner should be able to read. */
  static async create(directory: string, clock: Clock): Promise<DemoFiles> {
    const files = new DemoFiles(directory)
    await cp(example, directory, { recursive: true })
    await mkdir(files.certificates, { mode: 0o700 })
    await files.#writePartner(clock)
    await files.#writeApiKeys(clock)
    return files
  }

  /** The sidecar's configuration. */
  get config(): string {
    return this.path('postern.yaml')
  }

  /** The socket of the embedded Workload API. */
  get socket(): string {
    return this.path('agent.sock')
  }

  /** Where callers have their certificates: `<name>.pem`, `<name>-key.pem`. */
  get certificates(): string {
    return this.path('certificates')
  }

  path(...names: string[]): string {
    return join(this.directory, ...names)
  }

  /** The certificate of a caller and its key, as they are now. */
  async certificate(name: string): Promise<{ readonly cert: string; readonly key: string }> {
    const [cert, key] = await Promise.all([
      readFile(join(this.certificates, `${name}.pem`), 'utf8'),
      readFile(join(this.certificates, `${name}-key.pem`), 'utf8'),
    ])
    return { cert, key }
  }

  /** Keeps what a caller has now under another name. */
  async keepCertificate(name: string, newName: string): Promise<void> {
    const { cert, key } = await this.certificate(name)
    await this.#writeCertificate(newName, cert, key)
  }

  /** The CA certificates of a trust domain. */
  bundle(trustDomain: string): Promise<string> {
    return readFile(join(this.certificates, `${trustDomain}-bundle.pem`), 'utf8')
  }

  /** A file with the header field of a key, in the form that `curl -H @file` reads: no key stands on a command line. */
  keyField(name: ApiKeyName): string {
    return this.path(`api-key-${name}`)
  }

  async apiKey(name: ApiKeyName): Promise<string> {
    const field = await readFile(this.keyField(name), 'utf8')
    return field.slice(field.indexOf(':') + 1).trim()
  }

  /** A CA outside SPIFFE, a client of it, and a certificate by which it lays claim to one of our SPIFFE IDs. */
  async #writePartner(clock: Clock): Promise<void> {
    const ca = await DevCa.create({ clock, subject: 'CN=Partner B Issuing CA, O=Partner B' })
    await mkdir(this.path('ca'), { recursive: true })
    await writeFile(this.path('ca', 'partner-b.pem'), certificatesToPem([ca.certificate]))
    await this.#issue(ca, 'partner-b', { subject: 'CN=settlement-client, O=Partner B' })
    await this.#issue(ca, 'forged', { spiffeId: SpiffeId.parse('spiffe://corp.example/client') })
  }

  async #issue(ca: DevCa, name: string, options: IssueOptions): Promise<void> {
    const { certificates, privateKeyDer } = await ca.issue({ ttlMs: dayMs, ...options })
    const pem = certificatesToPem(certificates)
    await this.#writeCertificate(name, pem, privateKeyToPem(privateKeyDer))
  }

  async #writeCertificate(name: string, cert: string, key: string): Promise<void> {
    await writeFile(join(this.certificates, `${name}.pem`), cert)
    await writeFile(join(this.certificates, `${name}-key.pem`), key, { mode: 0o600 })
  }

  async #writeApiKeys(clock: Clock): Promise<void> {
    const file = this.path('api-keys.yaml')
    let text = await readFile(file, 'utf8')
    for (const name of ['good', 'expired'] as const) {
      const { key, id, sha256 } = createApiKey(randomBytes)
      const expires = name === 'good' ? {} : { expires: dateOf(clock.now() - dayMs) }
      const entry = { id, sha256, product: 'reports', consumer: 'acme', ...expires }
      text = appendKey(text, file, entry)
      await writeFile(this.keyField(name), `x-api-key: ${key}\n`, { mode: 0o600 })
    }
    await writeFile(file, text)
  }
}

export type ApiKeyName = 'good' | 'expired'

function dateOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}
