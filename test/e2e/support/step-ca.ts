import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Context } from 'mocha'
import { temporaryDirectory } from '../../support/postern-process.ts'
import { freePort } from '../../support/free-port.ts'
import { skipMissingTool } from '../../support/skip.ts'
import { until } from '../../support/spire-process.ts'
import type { CallerIdentity } from './caller.ts'

const run = promisify(execFile)

/** Skips where smallstep's programs are missing. */
export function requireStepCa(context: Context): void {
  for (const program of ['step-ca', 'step']) {
    if (spawnSync(program, ['version']).error !== undefined) skipMissingTool(context, program)
  }
}

export interface StepCertificate {
  /** First; also the subject's common name. */
  readonly subject: string
  readonly names: readonly string[]
  /** As `step` writes it. Default `1h`. */
  readonly lifetime?: string
}

/** Where `step` has written a certificate with its chain, and the key. */
export interface StepFiles {
  readonly certificate: string
  readonly key: string
}

/** A certificate authority of smallstep with a root and an intermediate, on loopback, and the `step` that asks it. */
export class StepCa implements AsyncDisposable {
  readonly folder: string
  readonly #children: ChildProcess[] = []
  #log = ''

  private constructor(folder: string) {
    this.folder = folder
  }

  static async start(name: string): Promise<StepCa> {
    const ca = new StepCa(await temporaryDirectory())
    try {
      await ca.#initialize(name)
      await ca.#serve()
    } catch (error) {
      await ca.close()
      throw error
    }
    return ca
  }

  /** The file of its root certificate. */
  get root(): string {
    return join(this.folder, 'certs/root_ca.crt')
  }

  /** Issues a certificate into `NAME.pem` and `NAME-key.pem` of its folder. */
  async issue(name: string, certificate: StepCertificate): Promise<StepFiles> {
    const files = { certificate: this.#path(`${name}.pem`), key: this.#path(`${name}-key.pem`) }
    const { subject, names, lifetime = '1h' } = certificate
    await this.#step(
      'ca',
      'certificate',
      '--force',
      '--not-after',
      lifetime,
      ...this.#provisioner,
      [...names.flatMap((it) => ['--san', it]), subject, files.certificate, files.key],
    )
    return files
  }

  /** A caller's certificate and key. */
  async identity(name: string, certificate: StepCertificate): Promise<CallerIdentity> {
    const files = await this.issue(name, certificate)
    return {
      certificatePem: await readFile(files.certificate, 'utf8'),
      privateKeyPem: await readFile(files.key, 'utf8'),
    }
  }

  /** Writes a new certificate for the same key, every `period`, until the CA is closed. */
  keepRenewing({ certificate, key }: StepFiles, period: string): void {
    const options = ['ca', 'renew', '--daemon', '--renew-period', period, certificate, key]
    this.#start('step', options)
  }

  /** Writes a new certificate for a new key; one file after the other. */
  async rekey({ certificate, key }: StepFiles): Promise<void> {
    await this.#step('ca', 'rekey', '--force', certificate, key)
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    await rm(this.folder, { recursive: true, force: true })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #provisioner(): string[] {
    return ['--provisioner', 'admin', '--provisioner-password-file', this.#path('password')]
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, STEPPATH: this.folder, HOME: this.folder }
  }

  async #initialize(name: string): Promise<void> {
    const port = await freePort()
    const password = this.#path('password')
    await writeFile(password, crypto.randomUUID())
    await this.#step('ca', 'init', '--name', name, '--dns', '127.0.0.1', [
      ...['--address', `127.0.0.1:${port}`, '--provisioner', 'admin'],
      ...['--password-file', password, '--provisioner-password-file', password],
    ])
    await this.#allowShortLives()
  }

  async #allowShortLives(): Promise<void> {
    const file = this.#path('config/ca.json')
    const config = JSON.parse(await readFile(file, 'utf8')) as { authority: object }
    const claims = {
      minTLSCertDuration: '5s',
      maxTLSCertDuration: '24h',
      defaultTLSCertDuration: '1h',
    }
    const authority = { ...config.authority, claims }
    await writeFile(file, JSON.stringify({ ...config, authority }))
  }

  async #serve(): Promise<void> {
    const options = [this.#path('config/ca.json'), '--password-file', this.#path('password')]
    this.#start('step-ca', options)
    await until('step-ca serves', async () => {
      const isServing = await this.#step('ca', 'health').then(
        () => true,
        () => false,
      )
      return isServing || undefined
    })
  }

  #start(program: string, options: readonly string[]): void {
    const child = spawn(program, options, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => (this.#log += String(text)))
    }
    child.once('error', (error) => (this.#log += error.message))
    this.#children.push(child)
  }

  async #step(...words: readonly (string | readonly string[])[]): Promise<void> {
    try {
      await run('step', words.flat(), { env: this.#environment, timeout: 30_000 })
    } catch (error) {
      throw new Error(`step ${words.flat().join(' ')} failed; step-ca said:\n${this.#log}`, {
        cause: error,
      })
    }
  }

  #path(name: string): string {
    return join(this.folder, name)
  }
}
