import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import type { Problem } from '../config/problem.ts'
import { readFile } from '../config/read-file.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import { finish, type Steps } from '../core/steps.ts'
import type { AuthorityRevocation } from '../policy/authority.ts'
import type { CrlFile, MappedAuthority, ProductMap } from '../policy/product-map.ts'
import { formatPosition } from '../policy/source-position.ts'
import type { Certificate } from '../x509/certificate.ts'
import { quoted } from '../x509/path-rules.ts'
import { isNewerEdition, isSigner, maySignLists, newestEditions } from '../x509/revocation.ts'
import {
  largestRevocationFile,
  mostRevocationLists,
  readRevocationFile,
} from '../x509/revocation-file.ts'
import type { RevocationList } from '../x509/revocation-list.ts'
import { hasSupportedSignature } from '../x509/signature.ts'

/** A file of revocation lists that was not taken. */
export interface CrlProblem extends Problem {
  /** The authority has `crlRequired`. */
  readonly isRequired: boolean
}

/** A product map with what the files of its revocation lists hold. */
export interface WithCrls {
  readonly products: ProductMap
  readonly problems: readonly CrlProblem[]
  /** Some of the lists were not held before. */
  readonly isNew: boolean
}

/** What is known of one file of one authority. */
interface Held {
  /** Of what the last attempt read, and of the CA certificates that it was held against. */
  readonly digest: string | undefined
  /** The last good ones. */
  readonly lists: readonly RevocationList[]
  readonly problem: string | undefined
}

const nothing: Held = { digest: undefined, lists: [], problem: undefined }

/** The map of `productsFile` with the revocation lists that it names, read once. */
export function readCrls(products: ProductMap, productsFile: string, nowMs: number): WithCrls {
  return finish(new CrlFiles(productsFile).read(products, nowMs))
}

/**
 * The revocation lists that authorities name. A file that cannot be taken is reported and changes nothing: its last good
 * lists serve on, and other files and callers are not touched. It is read again only when a byte of it changed.
 */
export class CrlFiles {
  readonly #directory: string
  #held = new Map<string, Held>()
  #last: { readonly parsed: ProductMap; readonly result: ProductMap } | undefined

  /** `productsFile`: where the paths are relative to. */
  constructor(productsFile: string) {
    this.#directory = dirname(productsFile)
  }

  /** Whether the map that was read last names no file. */
  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  /** The files that a map names. */
  pathsOf(products: ProductMap): string[] {
    return [...products.authorities.values()].flatMap(({ crlFiles }) =>
      crlFiles.map(({ path }) => this.#resolve(path)),
    )
  }

  /**
   * Reads the files that changed. Never throws. As long as nothing changed, the same map gives the same result.
   */
  *read(parsed: ProductMap, nowMs: number): Steps<WithCrls> {
    const before = this.#held
    const held = new Map<string, Held>()
    const revocation = new Map<string, AuthorityRevocation>()
    const problems: CrlProblem[] = []
    for (const authority of parsed.authorities.values()) {
      if (authority.revocation === undefined) continue
      const lists: RevocationList[] = []
      for (const [index, file] of authority.crlFiles.entries()) {
        const key = `${authority.alias}\n${file.path}`
        const one = yield* this.#readFile(file, authority, before.get(key) ?? nothing, nowMs)
        held.set(key, one)
        lists.push(...one.lists)
        if (one.problem !== undefined) problems.push(describe(one.problem, authority, file, index))
      }
      revocation.set(authority.alias, { ...authority.revocation, lists })
    }
    this.#held = held
    const isNew = [...held].some(([key, { lists }]) => lists !== (before.get(key) ?? nothing).lists)
    return { products: this.#attach(parsed, revocation), problems, isNew }
  }

  #attach(parsed: ProductMap, revocation: ReadonlyMap<string, AuthorityRevocation>): ProductMap {
    const last = this.#last
    if (last?.parsed === parsed && hasLists(last.result, revocation)) return last.result
    const result = revocation.size === 0 ? parsed : parsed.withRevocation(revocation)
    this.#last = { parsed, result }
    return result
  }

  *#readFile(
    file: CrlFile,
    { anchors }: MappedAuthority,
    before: Held,
    nowMs: number,
  ): Steps<Held> {
    let digest: string | undefined
    try {
      const bytes = readFile(this.#resolve(file.path), largestRevocationFile)
      digest = yield* digestOf(bytes, anchors)
      if (digest === before.digest) return before
      const lists = yield* readRevocationFile(bytes)
      for (const list of lists) {
        yield
        refuseUnsigned(list, anchors)
        refuseOlder(list, before.lists, nowMs)
      }
      return { digest, lists: [...lists, ...stillNeeded(before.lists, lists)], problem: undefined }
    } catch (cause) {
      return { digest, lists: before.lists, problem: messageOf(cause) }
    }
  }

  #resolve(path: string): string {
    return resolve(this.#directory, path)
  }
}

function hasLists(
  products: ProductMap,
  revocation: ReadonlyMap<string, AuthorityRevocation>,
): boolean {
  return [...revocation].every(([alias, { lists }]) => {
    const own = products.authorities.get(alias)?.revocation?.lists
    return own?.length === lists.length && lists.every((list, i) => list === own[i])
  })
}

const bytesPerStep = 1024 * 1024

function* digestOf(bytes: Buffer, anchors: readonly Certificate[]): Steps<string> {
  const digest = createHash('sha256')
  for (const anchor of anchors) digest.update(anchor.sha256)
  for (let at = 0; at < bytes.length; at += bytesPerStep) {
    digest.update(bytes.subarray(at, at + bytesPerStep))
    yield
  }
  return digest.digest('base64')
}

/**
 * Of a list of the authority's own CA the signature can be told now; that of a CA below it when a caller presents its
 * certificate.
 */
function refuseUnsigned(list: RevocationList, anchors: readonly Certificate[]): void {
  const name = quoted(list.issuer)
  if (!hasSupportedSignature(list))
    throw notTaken(`the list of ${name} is signed with an algorithm that is weak or not supported`)
  const named = anchors.filter((anchor) => anchor.subjectName.equals(list.issuerName))
  if (named.length > 0 && !named.some((anchor) => maySignLists(anchor) && isSigner(anchor, list)))
    throw notTaken(`the list of ${name} is not signed by the CA certificate of this name`)
}

/**
 * Those of before whose place no list takes that is known to be signed. A list of a CA that nobody has presented yet may turn
 * out to be forged or damaged, and must not make up for the good one until then.
 */
function stillNeeded(
  before: readonly RevocationList[],
  lists: readonly RevocationList[],
): readonly RevocationList[] {
  if (lists.every((list) => list.isVerified)) return []
  const verified = newestEditions([...before, ...lists].filter((list) => list.isVerified))
  return verified.filter((list) => !lists.includes(list)).slice(0, mostRevocationLists)
}

/** A mirror that lags would take revocations back. A date to come may be a mistake that has to be mended. */
function refuseOlder(list: RevocationList, held: readonly RevocationList[], nowMs: number): void {
  const newer = held.find(
    (one) => one.isVerified && isNewerEdition(one, list) && one.thisUpdateMs <= nowMs,
  )
  if (newer === undefined) return
  const [ofThis, ofHeld] = [list, newer].map((one) => new Date(one.thisUpdateMs).toISOString())
  throw notTaken(
    `the list of ${quoted(list.issuer)} of ${ofThis ?? ''} is older than the one in force, of ${ofHeld ?? ''}`,
  )
}

function notTaken(message: string): PosternError {
  return new PosternError('ERR_CRL_MALFORMED', message)
}

function describe(
  problem: string,
  { alias, revocation }: MappedAuthority,
  { path, position }: CrlFile,
  index: number,
): CrlProblem {
  return {
    where: formatPosition(position),
    path: `authorities.${alias}.crl[${index}]`,
    message: `${path}: ${problem}`,
    isRequired: revocation?.required === true,
  }
}
