import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { DevAgent } from './dev-agent.ts'

export interface ClientCertificateFilesOptions {
  readonly agent: DevAgent
  readonly logger: Logger
  /** Made with mode 0700 when missing. */
  readonly directory: string
}

/**
 * Keeps PEM files for callers such as curl, for each trust domain of the agent: `<name>.pem` with the certificate of
 * `spiffe://<name>/client`, `<name>-key.pem` (mode 0600) and `<name>-bundle.pem`. They follow every renewal and rotation.
 */
export class ClientCertificateFiles {
  readonly #options: ClientCertificateFilesOptions
  #unsubscribe: () => void = () => undefined
  #last: Promise<void> = Promise.resolve()

  private constructor(options: ClientCertificateFilesOptions) {
    this.#options = options
  }

  /** Resolves when all files are written. */
  static async start(options: ClientCertificateFilesOptions): Promise<ClientCertificateFiles> {
    const { agent, directory } = options
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const name of agent.trustDomains) await agent.addEntry(clientId(name))
    const files = new ClientCertificateFiles(options)
    await files.#writeAll()
    files.#unsubscribe = agent.onChange(() => files.#follow())
    return files
  }

  /** Stops following and waits for the write that is under way; the files stay. Idempotent. */
  async close(): Promise<void> {
    this.#unsubscribe()
    await this.#last
  }

  #follow(): void {
    this.#last = this.#last
      .then(() => this.#writeAll())
      .catch((error: unknown) => {
        this.#options.logger.warn('client certificates not written', { error: messageOf(error) })
      })
  }

  async #writeAll(): Promise<void> {
    for (const name of this.#options.agent.trustDomains) await this.#write(name)
  }

  async #write(name: string): Promise<void> {
    const { agent } = this.#options
    await this.#replace(`${name}-bundle.pem`, agent.bundlePem(name))
    if (!agent.spiffeIds.includes(clientId(name))) return
    const { certificatePem, privateKeyPem } = agent.svid(clientId(name))
    await this.#replace(`${name}-key.pem`, privateKeyPem)
    await this.#replace(`${name}.pem`, certificatePem)
  }

  /** A reader sees the old file or the new one, never half of one. */
  async #replace(name: string, content: string): Promise<void> {
    const path = join(this.#options.directory, name)
    await writeFile(`${path}.new`, content, { mode: 0o600 })
    await rename(`${path}.new`, path)
  }
}

function clientId(trustDomain: string): string {
  return `spiffe://${trustDomain}/client`
}
