import { editDistance } from './nearest.ts'
import type { Problem } from './problem.ts'
import { listSettings, type Setting } from './settings.ts'

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What of postern.yaml comes from the environment. */
export interface EnvironmentOverlay {
  /** `value` with what the environment says put over it. */
  readonly value: unknown
  /** Variables by the path that they set. */
  readonly variables: ReadonlyMap<string, string>
  /** Variables that were probably meant to be another. */
  readonly problems: readonly Problem[]
}

/**
 * Puts the POSTERN_* variables over the value of a file. An empty variable counts as absent. Those that name no setting are
 * left alone (Kubernetes makes some for a service of this name), unless they look like a typing error.
 */
export function overlayEnvironment(value: unknown, env: Environment): EnvironmentOverlay {
  const settings = listSettings()
  const variables = new Map<string, string>()
  let overlaid = value
  for (const setting of settings) {
    const written = env[setting.variable]
    if (written === undefined || written === '') continue
    overlaid = withValueAt(overlaid, setting.path.split('.'), typed(setting, written))
    variables.set(setting.path, setting.variable)
  }
  return { value: overlaid, variables, problems: mistypedVariables(env, settings) }
}

function typed(setting: Setting, written: string): unknown {
  if (setting.type === 'number' && /^-?[0-9]{1,15}$/.test(written)) return Number(written)
  if (setting.type === 'boolean' && /^(?:true|false)$/.test(written)) return written === 'true'
  return written
}

/** What stands in the way and is no map stays: the schema says so. */
function withValueAt(value: unknown, path: readonly string[], leaf: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return leaf
  if (value !== undefined && value !== null && !isMap(value)) return value
  return { ...value, [key]: withValueAt(isMap(value) ? value[key] : undefined, rest, leaf) }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mistypedVariables(env: Environment, settings: readonly Setting[]): Problem[] {
  const known = new Set(settings.map((setting) => setting.variable))
  return Object.keys(env)
    .filter((name) => name.startsWith('POSTERN_') && !known.has(name))
    .flatMap((name) => {
      const meant = settings.find(({ variable }) => editDistance(name, variable) <= 2)
      if (meant === undefined) return []
      const message = `is not a known variable, did you mean ${meant.variable}`
      return [{ where: name, path: '', message }]
    })
}
