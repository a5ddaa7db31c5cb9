import { isMap, type Json, type JsonMap, listAt, mapAt, textAt, without } from '../json.ts'
import { type PodProblem, recordName } from './annotations.ts'
import { type InjectionRecord, readRecord } from './record.ts'

export type Ejection =
  /** What the pod was before. */
  | { readonly kind: 'ejected'; readonly template: JsonMap }
  /** It has nothing of ours. */
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly problems: readonly PodProblem[] }

/** Takes the sidecar out of a pod template: exactly what its annotation says was added. Pure. */
export function ejectPod(template: JsonMap): Ejection {
  const read = readRecord(template)
  switch (read.kind) {
    case 'none':
      return { kind: 'unchanged' }
    case 'malformed': {
      const message = 'is not what an injection wrote, expected it as it was written'
      const path = ['metadata', 'annotations', recordName]
      return { kind: 'refused', problems: [{ path, message }] }
    }
    case 'record':
      return { kind: 'ejected', template: restore(template, read.record) }
  }
}

function restore(template: JsonMap, record: InjectionRecord): JsonMap {
  const spec = restoreSpec(mapAt(template, 'spec'), record)
  const metadata = restoreMetadata(mapAt(template, 'metadata'), record)
  const wasCreated = record.created?.includes('metadata') === true
  return wasCreated && Object.keys(metadata).length === 0
    ? { ...emptied(template, 'metadata', record), spec }
    : { ...template, metadata, spec }
}

function restoreMetadata(metadata: JsonMap, record: InjectionRecord): JsonMap {
  const { created = [] } = record
  const annotations = without(mapAt(metadata, 'annotations'), recordName)
  return created.includes('annotations') && Object.keys(annotations).length === 0
    ? emptied(metadata, 'annotations', record)
    : { ...metadata, annotations }
}

function restoreSpec(before: JsonMap, record: InjectionRecord): JsonMap {
  let spec = before
  for (const key of ['containers', 'initContainers', 'volumes'] as const) {
    spec = withoutNamed(spec, key, record)
  }
  const { terminationGracePeriodSeconds: seconds } = record
  if (seconds === undefined) return spec
  return seconds === null
    ? emptied(spec, 'terminationGracePeriodSeconds', record)
    : { ...spec, terminationGracePeriodSeconds: seconds }
}

function withoutNamed(
  spec: JsonMap,
  key: 'containers' | 'initContainers' | 'volumes',
  record: InjectionRecord,
): JsonMap {
  const { created = [], [key]: names } = record
  if (names === undefined) return spec
  const rest = listAt(spec, key).filter((item: Json) => !isNamed(item, names))
  const wasCreated = key !== 'containers' && created.includes(key)
  return wasCreated && rest.length === 0 ? emptied(spec, key, record) : { ...spec, [key]: rest }
}

/** As it was before there was something at `key`: without it, or with a key that has no value. */
function emptied(map: JsonMap, key: string, { nulls = [] }: InjectionRecord): JsonMap {
  return nulls.some((one) => one === key) ? { ...map, [key]: null } : without(map, key)
}

function isNamed(item: Json, names: readonly string[]): boolean {
  return isMap(item) && names.includes(textAt(item, 'name') ?? '')
}
