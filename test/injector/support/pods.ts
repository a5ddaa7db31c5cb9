import {
  isMap,
  type Json,
  type JsonMap,
  listAt,
  mapAt,
  textAt,
} from '../../../src/injector/json.ts'
import { type InjectOptions, injectPod } from '../../../src/injector/pod/inject.ts'
import { defaultSettings, type Settings } from '../../../src/injector/pod/settings.ts'

/** How the tests inject: into everything that does not refuse, on a cluster of today. */
export function optionsWith(
  said: Partial<Settings> = {},
  rest: { readonly hasNativeSidecars?: boolean; readonly byDefault?: boolean } = {},
): InjectOptions {
  const { hasNativeSidecars = true, byDefault = true } = rest
  return {
    defaults: { ...defaultSettings, ...said },
    platform: { hasNativeSidecars, version: '1.2.3' },
    byDefault,
  }
}

/** A pod template with one container that serves on 8080. */
export function podWith(
  spec: JsonMap = {},
  annotations?: Readonly<Record<string, string>>,
): JsonMap {
  return {
    metadata: { labels: { app: 'api' }, ...(annotations === undefined ? {} : { annotations }) },
    spec: { containers: [workload()], ...spec },
  }
}

export function workload(more: JsonMap = {}): JsonMap {
  return { name: 'api', image: 'api:1', ports: [{ name: 'http', containerPort: 8080 }], ...more }
}

/** The template with the sidecar; throws what stands in the way. */
export function injected(template: JsonMap, options = optionsWith()): JsonMap {
  const injection = injectPod(template, options)
  if (injection.kind !== 'injected') throw new Error(JSON.stringify(injection))
  return injection.template
}

/** What stands in the way, as `path: message`. */
export function refusal(template: JsonMap, options = optionsWith()): string[] {
  const injection = injectPod(template, options)
  if (injection.kind !== 'refused') throw new Error(`it was ${injection.kind}`)
  return injection.problems.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

/** A container of the pod, of either list. */
export function containerOf(template: JsonMap, name = 'postern'): JsonMap {
  const spec = mapAt(template, 'spec')
  const all = [...listAt(spec, 'initContainers'), ...listAt(spec, 'containers')]
  return all.filter(isMap).find((one) => one['name'] === name) ?? {}
}

export function environmentOf(container: JsonMap): Record<string, Json | undefined> {
  const variables = listAt(container, 'env').filter(isMap)
  return Object.fromEntries(variables.map((one) => [textAt(one, 'name') ?? '', one['value']]))
}
