import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toPem as listToPem } from '../support/revocation-list-writer.ts'

export interface OpensslQuestion {
  readonly leaf: Buffer
  readonly sent: readonly Buffer[]
  readonly anchors: readonly Buffer[]
  readonly nowMs: number
  readonly isStrict: boolean
  /** Revocation lists: with them every certificate must be known to be good. */
  readonly lists?: readonly Buffer[]
}

export interface OpensslAnswer {
  readonly isAccepted: boolean
  /** What it said about the reasons. */
  readonly text: string
}

/**
 * `openssl verify` for a TLS client, every given anchor being one. Files go to a directory that `close` removes.
 */
export class OpensslVerify {
  readonly #directory: string
  #questions = 0

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async start(): Promise<OpensslVerify> {
    return new OpensslVerify(await mkdtemp(join(tmpdir(), 'postern-verify-')))
  }

  /** Whether there is an OpenSSL 3 on the PATH. */
  static async isInstalled(): Promise<boolean> {
    const { text } = await run(['version'])
    return text.startsWith('OpenSSL 3.')
  }

  async ask(question: OpensslQuestion): Promise<OpensslAnswer> {
    const prefix = join(this.#directory, String(this.#questions++))
    const { lists } = question
    const file = async (name: string, ders: readonly Buffer[], toText = toPem) => {
      await writeFile(`${prefix}-${name}`, ders.map(toText).join(''))
      return `${prefix}-${name}`
    }
    const revocation =
      lists === undefined
        ? []
        : [
            ...['-crl_check_all', '-extended_crl'],
            ...(lists.length === 0 ? [] : ['-CRLfile', await file('lists', lists, listToPem)]),
          ]
    return run([
      ...['verify', '-purpose', 'sslclient', '-partial_chain', '-no-CApath', '-no-CAstore'],
      ...revocation,
      ...(question.isStrict ? ['-x509_strict'] : []),
      ...['-attime', String(Math.floor(question.nowMs / 1000))],
      ...['-CAfile', await file('anchors', question.anchors)],
      ...(question.sent.length === 0 ? [] : ['-untrusted', await file('sent', question.sent)]),
      await file('leaf', [question.leaf]),
    ])
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true })
  }
}

function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function run(args: readonly string[]): Promise<OpensslAnswer> {
  return new Promise((resolve) => {
    execFile('openssl', args, (error, stdout, stderr) => {
      resolve({ isAccepted: error === null, text: `${stdout}${stderr}` })
    })
  })
}
