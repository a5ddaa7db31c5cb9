/** What a manifest or an AdmissionReview holds. */
export type Json = null | boolean | number | string | readonly Json[] | JsonMap

/** undefined stands for a key that is not there. */
export interface JsonMap {
  readonly [key: string]: Json | undefined
}

/** Keys and indexes that lead to a value. */
export type Path = readonly (string | number)[]

export function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isList(value: unknown): value is readonly Json[] {
  return Array.isArray(value)
}

/** A map, and an empty one for everything else. */
export function mapAt(parent: unknown, key: string): JsonMap {
  const value = isMap(parent) ? parent[key] : undefined
  return isMap(value) ? value : {}
}

/** A list, and an empty one for everything else. */
export function listAt(parent: unknown, key: string): readonly Json[] {
  const value = isMap(parent) ? parent[key] : undefined
  return isList(value) ? value : []
}

export function textAt(parent: unknown, key: string): string | undefined {
  const value = isMap(parent) ? parent[key] : undefined
  return typeof value === 'string' ? value : undefined
}

/** Whether two values say the same; the order of keys does not count, and absent is as undefined. */
export function isEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (Object.is(a, b)) return true
  if (isList(a) && isList(b))
    return a.length === b.length && a.every((one, i) => isEqual(one, b[i]))
  if (!isMap(a) || !isMap(b)) return false
  return keysOf(a, b).every((key) => isEqual(a[key], b[key]))
}

/**
 * Whether `whole` says all that `part` says. An API server fills in defaults and adds to lists at their end, and neither is a
 * difference.
 */
export function covers(whole: Json | undefined, part: Json | undefined): boolean {
  if (Object.is(whole, part)) return true
  if (isList(whole) && isList(part)) return part.every((one, i) => covers(whole[i], one))
  if (!isMap(whole) || !isMap(part)) return false
  return Object.keys(part).every((key) => covers(whole[key], part[key]))
}

/** The keys of either that have a value in one of them. */
export function keysOf(a: JsonMap, b: JsonMap): readonly string[] {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].filter((key) => a[key] !== undefined || b[key] !== undefined)
}

/** Without one key. */
export function without(map: JsonMap, key: string): JsonMap {
  return Object.fromEntries(Object.entries(map).filter(([name]) => name !== key))
}
