import { nearest } from '../../config/nearest.ts'
import { messageOf } from '../../core/errors.ts'
import { isMap, type JsonMap, type Path } from '../json.ts'
import { readSetting, settingList, type Settings, trueOrFalse } from './settings.ts'

/** Of all annotations and labels that are ours. */
export const prefix = 'postern.dev/'
/** `true` or `false`: whether the pod wants the sidecar. On a namespace the same, as a label. */
export const injectName = `${prefix}inject`
/** Ours to write: what was added, so that it can be taken out again. */
export const recordName = `${prefix}injected`
/** Ours to write, on a Service: the target ports before they were renamed. */
export const targetPortsName = `${prefix}target-ports`

/** Something that stands in the way, and where. */
export interface PodProblem {
  /** From the pod template. */
  readonly path: Path
  readonly message: string
}

/** What the annotations of a pod say. */
export interface Wishes {
  /** undefined: the pod says nothing about it. */
  readonly inject: boolean | undefined
  readonly settings: Settings
  readonly problems: readonly PodProblem[]
  /** Annotations with our prefix that mean nothing. */
  readonly warnings: readonly PodProblem[]
}

const known = new Map(settingList.map((setting) => [`${prefix}${setting.name}`, setting]))
const allNames = [injectName, recordName, targetPortsName, ...known.keys()]

/** Reads the annotations over `defaults`. */
export function readAnnotations(template: JsonMap, defaults: Settings): Wishes {
  const problems: PodProblem[] = []
  const warnings: PodProblem[] = []
  const said: Record<string, unknown> = {}
  let inject: boolean | undefined
  for (const [name, value] of annotationsOf(template)) {
    const path = ['metadata', 'annotations', name]
    const setting = known.get(name)
    try {
      if (name === injectName) inject = readInject(value)
      else if (setting !== undefined) said[setting.key] = readSetting(setting, textOf(value))
      else if (!allNames.includes(name)) warnings.push({ path, message: unknown(name) })
    } catch (thrown) {
      problems.push({ path, message: messageOf(thrown) })
    }
  }
  return { inject, settings: { ...defaults, ...said }, problems, warnings }
}

function annotationsOf(template: JsonMap): [string, unknown][] {
  const { metadata } = template
  const annotations = isMap(metadata) ? metadata['annotations'] : undefined
  if (!isMap(annotations)) return []
  return Object.entries(annotations).filter(([name]) => name.startsWith(prefix))
}

function readInject(value: unknown): boolean {
  const inject = trueOrFalse(textOf(value))
  if (inject !== undefined) return inject
  throw new TypeError(`${JSON.stringify(value)} is not "true" or "false"`)
}

/** YAML makes a number of 8080, and the API server would refuse it. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new TypeError(`${JSON.stringify(value)} is not a text, expected it in quotes`)
}

function unknown(name: string): string {
  // The prefix is always right: with it, every name would be near to every other.
  const suffixes = allNames.map((one) => one.slice(prefix.length))
  const meant = nearest(name.slice(prefix.length), suffixes)
  const hint =
    meant === undefined ? 'docs/kubernetes.md lists them' : `did you mean ${prefix}${meant}`
  return `${name.slice(0, 80)} is not a known annotation, ${hint}`
}
