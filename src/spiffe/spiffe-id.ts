import { PosternError } from '../core/errors.ts'
import { quoted } from './quoted.ts'
import { TrustDomain } from './trust-domain.ts'

const scheme = 'spiffe://'
const longestId = 2048
const segmentShape = /^[a-zA-Z0-9._-]+$/

/**
 * A SPIFFE ID, SPIFFE-ID 2. Read byte by byte and never through `URL`, which would mend what must be refused
 * (case, dot segments, percent-encoding). At most 2048 bytes.
 */
export class SpiffeId {
  readonly trustDomain: TrustDomain
  /** '' or `/segment/...`, never with a trailing slash. */
  readonly path: string
  readonly #text: string

  private constructor(text: string, trustDomain: TrustDomain, path: string) {
    this.#text = text
    this.trustDomain = trustDomain
    this.path = path
  }

  /** Throws `PosternError` ERR_SPIFFE_ID_INVALID. */
  static parse(text: string): SpiffeId {
    if (text.length > longestId) throw invalid(text, 'is longer than 2048 bytes')
    if (!text.startsWith(scheme)) throw invalid(text, 'does not start with spiffe://')
    const slash = text.indexOf('/', scheme.length)
    const end = slash === -1 ? text.length : slash
    const path = text.slice(end)
    checkPath(text, path)
    return new SpiffeId(text, parseTrustDomain(text, text.slice(scheme.length, end)), path)
  }

  equals(other: SpiffeId): boolean {
    return this.#text === other.#text
  }

  toString(): string {
    return this.#text
  }

  toJSON(): string {
    return this.#text
  }
}

function parseTrustDomain(text: string, name: string): TrustDomain {
  try {
    return TrustDomain.parse(name)
  } catch (cause) {
    throw invalid(text, 'has no valid trust domain', cause)
  }
}

function checkPath(text: string, path: string): void {
  if (path === '') return
  for (const segment of path.slice(1).split('/')) {
    if (segment === '') throw invalid(text, 'has an empty path segment or a trailing slash')
    if (segment === '.' || segment === '..') throw invalid(text, 'has a dot segment')
    if (!segmentShape.test(segment)) throw invalid(text, 'has a character that no path may hold')
  }
}

function invalid(text: string, what: string, cause?: unknown): PosternError {
  return new PosternError('ERR_SPIFFE_ID_INVALID', `SPIFFE ID ${quoted(text)} ${what}`, { cause })
}
