import { z } from 'zod'
import { sidecarSchema } from './sidecar-schema.ts'

/** One scalar setting of postern.yaml. */
export interface Setting {
  /** `inbound.limits.maxConnections`. */
  readonly path: string
  /** `POSTERN_INBOUND_LIMITS_MAX_CONNECTIONS`; wins over the file. */
  readonly variable: string
  readonly type: 'text' | 'number' | 'boolean'
  /** As it would be written; undefined: none. */
  readonly default: string | undefined
  readonly description: string
}

/** Every scalar setting with its variable, in the order of the schema: for the environment, the README and `--help`. */
export function listSettings(): readonly Setting[] {
  return settingsIn(z.toJSONSchema(sidecarSchema, { io: 'input' }), [])
}

/** The scalar settings of one entry of `outbound`, by their path in the entry. */
export function listOutboundSettings(): readonly Omit<Setting, 'variable'>[] {
  const { outbound } = z.toJSONSchema(sidecarSchema, { io: 'input' }).properties ?? {}
  const entry = typeof outbound === 'object' ? outbound.items : undefined
  return typeof entry === 'object' && !Array.isArray(entry) ? settingsIn(entry, []) : []
}

type JsonSchema = z.core.JSONSchema.BaseSchema

function settingsIn(schema: JsonSchema, path: readonly string[]): Setting[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    if (typeof child === 'boolean') return []
    const childPath = [...path, key]
    return child.properties === undefined
      ? toSetting(child, childPath)
      : settingsIn(child, childPath)
  })
}

/** Lists and maps have no variable. */
function toSetting(schema: JsonSchema, path: readonly string[]): Setting[] {
  const type = settingTypes[String(schema.type)]
  if (type === undefined) return []
  const written = schema.default as string | number | boolean | undefined
  return [
    {
      path: path.join('.'),
      variable: variableOf(path),
      type,
      default: written === undefined ? undefined : String(written),
      description: schema.description ?? '',
    },
  ]
}

const settingTypes: Readonly<Record<string, Setting['type']>> = {
  string: 'text',
  integer: 'number',
  boolean: 'boolean',
}

/** `inbound.apiKeyHeader`: POSTERN_INBOUND_API_KEY_HEADER. */
function variableOf(path: readonly string[]): string {
  const words = path.map((key) => key.replace(/[A-Z]/g, (letter) => `_${letter}`))
  return `POSTERN_${words.join('_')}`.toUpperCase()
}
