import { z } from 'zod'
import { type JsonMap, mapAt, textAt } from '../json.ts'
import { recordName } from './annotations.ts'

const placesOfNulls = [
  'metadata',
  'annotations',
  'initContainers',
  'volumes',
  'terminationGracePeriodSeconds',
] as const

/** What was added to a pod, as its annotation keeps it: everything that is needed to take it out again. */
const schema = z.strictObject({
  initContainers: z.array(z.string()).optional(),
  containers: z.array(z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  /** Maps and lists that were not there before. */
  created: z.array(z.enum(['metadata', 'annotations', 'initContainers', 'volumes'])).optional(),
  /** What stood there without a value. */
  nulls: z.array(z.enum(placesOfNulls)).optional(),
  /** As it was before; null: it was not there. */
  terminationGracePeriodSeconds: z.int().nullable().optional(),
})

export type InjectionRecord = z.infer<typeof schema>

/** `none`: nothing of ours is in the pod, as far as it says. */
export type ReadRecord =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'record'; readonly record: InjectionRecord }

export function readRecord(template: JsonMap): ReadRecord {
  const text = textAt(mapAt(mapAt(template, 'metadata'), 'annotations'), recordName)
  if (text === undefined) return { kind: 'none' }
  const parsed = schema.safeParse(parseJson(text))
  return parsed.success ? { kind: 'record', record: parsed.data } : { kind: 'malformed' }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
