import { PosternError } from '../core/errors.ts'
import { quoted } from './quoted.ts'

const longestName = 255
const nameShape = /^[a-z0-9._-]+$/

/** The name of a trust domain, SPIFFE-ID 2.1: lower case, `[a-z0-9.-_]`, 1 to 255 characters. */
export class TrustDomain {
  readonly name: string

  private constructor(name: string) {
    this.name = name
  }

  /** Parses a bare name (`corp.example`). Throws `PosternError` ERR_TRUST_DOMAIN_INVALID. */
  static parse(name: string): TrustDomain {
    if (name.length > longestName || !nameShape.test(name)) {
      throw new PosternError(
        'ERR_TRUST_DOMAIN_INVALID',
        `trust domain ${quoted(name)} must be 1 to 255 of a-z 0-9 . _ -`,
      )
    }
    return new TrustDomain(name)
  }

  /** Accepts `spiffe://corp.example` as well as `corp.example`: maps of the Workload API use either. */
  static parseNameOrId(text: string): TrustDomain {
    return TrustDomain.parse(text.startsWith('spiffe://') ? text.slice('spiffe://'.length) : text)
  }

  /** `spiffe://<name>`. */
  get id(): string {
    return `spiffe://${this.name}`
  }

  equals(other: TrustDomain): boolean {
    return this.name === other.name
  }

  toString(): string {
    return this.name
  }

  toJSON(): string {
    return this.name
  }
}
