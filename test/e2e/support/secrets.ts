import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import type { NewApiKey } from '../../../src/policy/api-key.ts'

/** Everything that a run used and that no output may hold, in each form in which it could stand there. */
export class Secrets {
  /** Name by form. */
  readonly #forms = new Map<string, string>()

  /** A text that is a secret as it is. */
  text(name: string, secret: string): void {
    assert.ok(secret.length >= 12, `${name} could stand anywhere by chance`)
    this.#forms.set(secret, name)
  }

  /** Whole, its random part alone, and its digest, by which it could be guessed or found again. */
  apiKey(name: string, { key, sha256 }: Pick<NewApiKey, 'key' | 'sha256'>): void {
    this.text(name, key.slice(key.lastIndexOf('_') + 1))
    this.text(`${name} in base64`, Buffer.from(key).toString('base64').slice(0, -4))
    this.#bytes(`the digest of ${name}`, Buffer.from(sha256, 'hex'))
  }

  /** PEM. */
  privateKey(name: string, pem: string): void {
    const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' })
    this.#bytes(name, Buffer.from(d, 'base64url'))
    for (const line of pem.split('\n')) {
      if (line.length >= 20 && !line.startsWith('---')) this.text(`${name} in PEM`, line)
    }
  }

  #bytes(name: string, bytes: Buffer): void {
    this.text(name, bytes.toString('latin1'))
    this.text(`${name} in hex`, bytes.toString('hex'))
    this.text(`${name} in hex`, bytes.toString('hex').toUpperCase())
    // The end of each depends on what may follow.
    this.text(`${name} in base64`, bytes.toString('base64').slice(0, -4))
    this.text(`${name} in base64url`, bytes.toString('base64url').slice(0, -4))
  }

  get forms(): readonly string[] {
    return [...this.#forms.keys()]
  }

  /** What of it stands in this text. Texts of bytes are in latin1. */
  in(text: string): string[] {
    return [...this.#forms].filter(([form]) => text.includes(form)).map(([, name]) => name)
  }

  /** Fails with the name of the secret and of the output, never with the secret. */
  assertNoneIn(name: string, output: string): void {
    assert.deepEqual(this.in(output), [], `in ${name}`)
  }
}
