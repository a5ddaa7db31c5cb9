import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { derTag, DerReader } from '../../../src/x509/der.ts'
import { eventually } from '../../proxy/support/eventually.ts'
import { context, integer, sequence } from '../../support/der-writer.ts'
import type { IdentityFiles } from './programs.ts'

const patienceMs = 15_000

/** `max_early_data` of OpenSSL's SSL_SESSION. */
const maxEarlyData = 15

/**
 * A session file of OpenSSL with which its client sends early data, whatever the server has said: the ticket and its key stay as
 * they are.
 */
export function invitingSession(pem: string): string {
  const der = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  const fields = DerReader.of(der).enter(derTag.sequence)
  const before: Buffer[] = []
  const after: Buffer[] = []
  while (!fields.isAtEnd) {
    const field = fields.element()
    const number = field[0]! >= 0xa0 ? field[0]! & 0x1f : -1
    if (number < maxEarlyData) before.push(field)
    else if (number > maxEarlyData) after.push(field)
  }
  const invitation = context(maxEarlyData, 'constructed', integer(16_384))
  const base64 = sequence(...before, invitation, ...after).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  const label = 'SSL SESSION PARAMETERS'
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}

/** OpenSSL's own server, which takes early data. */
export class EarlyDataServer {
  readonly #program: RunningOpenssl
  readonly #port: number

  private constructor(program: RunningOpenssl, port: number) {
    this.#program = program
    this.#port = port
  }

  static async start({ certificate, key }: IdentityFiles): Promise<EarlyDataServer> {
    const identity = ['-cert', certificate, '-key', key]
    const program = new RunningOpenssl(
      ...['s_server', '-accept', '127.0.0.1:0', '-tls1_3', '-early_data', ...identity],
    )
    const [, port] = await program.said(/^ACCEPT 127\.0\.0\.1:(\d+)$/m)
    return new EarlyDataServer(program, Number(port))
  }

  /** Resolves with the file of a session of this server. */
  async session(file: string): Promise<string> {
    const client = this.#client('-sess_out', file)
    // It tells of it only when its buffer is full.
    await eventually(() => isWhole(file))
    await client.end()
    return file
  }

  /** Resolves with what OpenSSL's client said of sending this early. */
  async call(session: string, earlyFile: string): Promise<string> {
    const client = this.#client('-sess_in', session, '-early_data', earlyFile)
    await client.said(/^Early data was /m)
    return client.end()
  }

  /** Resolves once the server has printed this. */
  async said(what: RegExp): Promise<void> {
    await this.#program.said(what)
  }

  async close(): Promise<void> {
    await this.#program.kill()
  }

  #client(...args: readonly string[]): RunningOpenssl {
    return new RunningOpenssl('s_client', '-connect', `127.0.0.1:${this.#port}`, '-tls1_3', ...args)
  }
}

function isWhole(file: string): boolean {
  return existsSync(file) && readFileSync(file, 'utf8').includes('-----END')
}

/** A command of OpenSSL that runs until its stdin ends. */
class RunningOpenssl {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #closed: Promise<unknown>
  #output = ''
  #onOutput: () => void = () => undefined

  constructor(...args: readonly string[]) {
    this.#child = spawn('openssl', args)
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString('latin1')
        this.#onOutput()
      })
    }
    this.#child.stdin.on('error', () => undefined)
    this.#closed = once(this.#child, 'close')
  }

  /** Resolves with the match once it has printed this; rejects after 15 s. */
  async said(what: RegExp): Promise<RegExpExecArray> {
    const endMs = performance.now() + patienceMs
    for (;;) {
      const match = what.exec(this.#output)
      if (match !== null) return match
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) throw new Error(`never: ${what.source}; openssl said ${this.#output}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#onOutput = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Resolves with all that it has printed. */
  async end(): Promise<string> {
    this.#child.stdin.end()
    await this.#closed
    return this.#output
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}
