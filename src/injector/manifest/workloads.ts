import { isMap, type Json, type JsonMap, listAt, mapAt, type Path, textAt } from '../json.ts'

/** One object of Kubernetes in a document: the document itself, or an item of a List in it. */
export interface Resource {
  readonly path: Path
  readonly value: JsonMap
  /** `deployment/api`, for messages. */
  readonly title: string
  readonly namespace: string | undefined
}

/** Where the pod template is, by API group and kind. */
const templates: Readonly<Record<string, Path>> = {
  '/Pod': [],
  'apps/Deployment': ['spec', 'template'],
  'apps/StatefulSet': ['spec', 'template'],
  'apps/DaemonSet': ['spec', 'template'],
  'apps/ReplicaSet': ['spec', 'template'],
  'batch/Job': ['spec', 'template'],
  'batch/CronJob': ['spec', 'jobTemplate', 'spec', 'template'],
}

/** Everything in a document that has a kind; Lists are looked through. */
export function resourcesOf(value: Json, path: Path = []): Resource[] {
  if (!isMap(value)) return []
  const kind = textAt(value, 'kind') ?? ''
  if (kind.endsWith('List') && Array.isArray(value['items'])) {
    return listAt(value, 'items').flatMap((item, i) => resourcesOf(item, [...path, 'items', i]))
  }
  const metadata = mapAt(value, 'metadata')
  const name = textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '?'
  const title = `${kind.toLowerCase()}/${name}`
  return [{ path, value, title, namespace: textAt(metadata, 'namespace') }]
}

/** The pod template of a workload, and where it is in the document; undefined for every other kind. */
export function templateOf({
  value,
  path,
}: Resource): { readonly path: Path; readonly template: JsonMap } | undefined {
  const within = templates[groupAndKind(value)]
  if (within === undefined) return undefined
  const template = within.reduce<JsonMap>((parent, key) => mapAt(parent, String(key)), value)
  return { path: [...path, ...within], template }
}

export function isService({ value }: Resource): boolean {
  return groupAndKind(value) === '/Service'
}

function groupAndKind(value: JsonMap): string {
  const version = textAt(value, 'apiVersion') ?? ''
  const group = version.includes('/') ? version.slice(0, version.indexOf('/')) : ''
  return `${group}/${textAt(value, 'kind') ?? ''}`
}
