import { z } from 'zod'
import type { Path } from './yaml-source.ts'

/** The schema of what stands at `path` within `schema`, with its default; undefined when there is none. */
export function schemaAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType | undefined {
  const [key, ...rest] = path
  if (key === undefined) return schema
  const child = childOf(unwrapped(schema), key)
  return child === undefined ? undefined : schemaAt(child, rest)
}

/** The keys of the map at `path` within `schema`; none when it is no map or has any keys. */
export function knownKeys(schema: z.core.$ZodType, path: Path): readonly string[] {
  const found = schemaAt(schema, path)
  const map = found === undefined ? undefined : unwrapped(found)
  return map instanceof z.ZodObject ? Object.keys(map.shape) : []
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return unwrapped(schema.unwrap())
  }
  return schema instanceof z.ZodPipe ? unwrapped(schema.in) : schema
}

function childOf(schema: z.core.$ZodType, key: string | number): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodObject) return (schema.shape as Record<string, z.core.$ZodType>)[key]
  if (schema instanceof z.ZodArray) return schema.element
  return schema instanceof z.ZodRecord ? schema.valueType : undefined
}
