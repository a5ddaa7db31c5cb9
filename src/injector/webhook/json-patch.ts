import { isList, isMap, type Json, type JsonMap, keysOf, type Path } from '../json.ts'
import { listChange } from '../list-change.ts'

/** One operation of a JSON Patch (RFC 6902). */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string }

/** What makes `after` of `before`; empty when they say the same. */
export function jsonPatch(before: Json, after: Json): PatchOperation[] {
  return differences(before, after, [])
}

function differences(before: Json, after: Json, path: Path): PatchOperation[] {
  if (before === after) return []
  if (isMap(before) && isMap(after)) return mapDifferences(before, after, path)
  if (isList(before) && isList(after)) return listDifferences(before, after, path)
  return [{ op: 'replace', path: pointer(path), value: after }]
}

function mapDifferences(before: JsonMap, after: JsonMap, path: Path): PatchOperation[] {
  return keysOf(before, after).flatMap((key): PatchOperation[] => {
    const here = [...path, key]
    const [old, value] = [before[key], after[key]]
    if (value === undefined) return [{ op: 'remove', path: pointer(here) }]
    return old === undefined
      ? [{ op: 'add', path: pointer(here), value }]
      : differences(old, value, here)
  })
}

/** From the end to the beginning, so that no operation moves what another means. */
function listDifferences(
  before: readonly Json[],
  after: readonly Json[],
  path: Path,
): PatchOperation[] {
  const change = listChange(before, after)
  if (change === undefined) return []
  const { at, removed, added } = change
  const both = Math.min(removed, added.length)
  const gone = Array.from({ length: removed - both }, (_, i): PatchOperation => {
    return { op: 'remove', path: pointer([...path, at + removed - 1 - i]) }
  })
  const come = added.slice(both).map((value, i): PatchOperation => {
    return { op: 'add', path: pointer([...path, at + both + i]), value }
  })
  const changed = added.slice(0, both).flatMap((value, i) => {
    const old = before[at + i]
    return old === undefined ? [] : differences(old, value, [...path, at + i])
  })
  return [...gone, ...come, ...changed]
}

/** RFC 6901. */
function pointer(path: Path): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
