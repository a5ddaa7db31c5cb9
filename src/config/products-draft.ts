import type { z } from 'zod'
import type { SourcePosition } from '../policy/source-position.ts'
import { Checker } from './checker.ts'
import type { Problem } from './problem.ts'
import { authoritySchema, callerSchema, productSchema, productsFrame } from './products-schema.ts'
import { name as nameSchema } from './scalars.ts'
import { type Path, YamlSource } from './yaml-source.ts'

/** Largest products.yaml, bytes. */
export const largestProductsFile = 16 * 1024 * 1024

/**
 * products.yaml with each value checked by itself, and still plain data: a thread of its own may read a large file and hand
 * this over. What depends on several values, and on PEM files, is for `buildProducts`.
 */
export interface ProductsDraft {
  readonly file: string
  readonly products: readonly DraftProduct[]
  readonly authorities: readonly DraftAuthority[]
  /** What is wrong so far; what is wrong is left out above, as far as it can be. */
  readonly problems: readonly Problem[]
}

export interface DraftProduct {
  readonly name: string
  readonly position: SourcePosition
  readonly callers: readonly DraftCaller[]
  readonly requestPositions: readonly SourcePosition[]
  /** undefined: something is wrong with them. */
  readonly settings: z.output<typeof productSchema> | undefined
}

export interface DraftCaller {
  readonly kind: 'trustDomain' | 'spiffeId' | 'authority'
  readonly value: string
  readonly position: SourcePosition
}

export interface DraftAuthority {
  readonly alias: string
  readonly position: SourcePosition
  /** Where `certificates` stands. */
  readonly certificatesPosition: SourcePosition
  /** Where each entry of `crl` stands. */
  readonly crlPositions: readonly SourcePosition[]
  /** undefined: something is wrong with them. */
  readonly settings: z.output<typeof authoritySchema> | undefined
}

/** Throws `ConfigError` only when the text is no YAML of the right frame. */
export function readProducts(text: string, file: string): ProductsDraft {
  const source = YamlSource.parse(text, file, { maxLength: largestProductsFile })
  const checker = new Checker(source)
  const frame = checker.check(productsFrame, source.value, [])
  if (frame === undefined) checker.finish()
  const products = Object.entries(frame?.products ?? {})
  const authorities = Object.entries(frame?.authorities ?? {})
  return {
    file,
    products: products.map(([name, value]) => readProduct(checker, name, value)),
    authorities: authorities.map(([alias, value]) => readAuthority(checker, alias, value)),
    problems: checker.problems,
  }
}

function readProduct(checker: Checker, name: string, value: unknown): DraftProduct {
  const path = ['products', name]
  checkName(checker, name, path)
  const settings = checker.check(productSchema, value, path)
  const callers = settings?.callers ?? listAt(value, 'callers').map(goodCaller)
  return {
    name,
    position: checker.source.keyPosition(path),
    settings,
    callers: callers.flatMap((caller, index) =>
      caller === undefined ? [] : readCaller(checker, caller, [...path, 'callers', index]),
    ),
    requestPositions: listAt(value, 'requests').map((_, index) =>
      checker.source.valuePosition([...path, 'requests', index]),
    ),
  }
}

type ParsedCaller = z.output<typeof callerSchema>

/** A caller that is good, in a product that is not: it may be at odds with others all the same. */
function goodCaller(value: unknown): ParsedCaller | undefined {
  const caller = callerSchema.safeParse(value)
  return caller.success ? caller.data : undefined
}

function readCaller(checker: Checker, caller: ParsedCaller, path: Path): DraftCaller[] {
  const position = checker.source.valuePosition(path)
  const { trustDomain, spiffeId, authority } = caller
  if (trustDomain !== undefined) return [{ kind: 'trustDomain', value: trustDomain, position }]
  if (spiffeId !== undefined) return [{ kind: 'spiffeId', value: spiffeId, position }]
  return authority === undefined ? [] : [{ kind: 'authority', value: authority, position }]
}

function readAuthority(checker: Checker, alias: string, value: unknown): DraftAuthority {
  const path = ['authorities', alias]
  checkName(checker, alias, path)
  const settings = checker.check(authoritySchema, value, path)
  if (settings?.crlRequired === true && settings.crl === undefined)
    checker.add([...path, 'crlRequired'], 'no revocation list is named, expected crl beside it')
  return {
    alias,
    position: checker.source.keyPosition(path),
    certificatesPosition: checker.source.valuePosition([...path, 'certificates']),
    crlPositions: listAt(value, 'crl').map((_, index) =>
      checker.source.valuePosition([...path, 'crl', index]),
    ),
    settings,
  }
}

function checkName(checker: Checker, name: string, path: Path): void {
  const result = nameSchema.safeParse(name)
  if (!result.success) checker.addAtKey(path, result.error.issues[0]?.message ?? '')
}

function listAt(value: unknown, key: string): readonly unknown[] {
  if (typeof value !== 'object' || value === null) return []
  const list = (value as Record<string, unknown>)[key]
  return Array.isArray(list) ? list : []
}
