import { ConfigError, type Problem } from '../../config/problem.ts'
import { mapAt } from '../json.ts'
import { type PodProblem, targetPortsName } from '../pod/annotations.ts'
import { ejectPod } from '../pod/eject.ts'
import { type InjectOptions, injectPod, type Ports } from '../pod/inject.ts'
import { readPod } from '../pod/pod.ts'
import { ManifestFile, type ManifestText } from './manifest-file.ts'
import { type GuardedWorkload, renamePorts, restorePorts, unguardedPorts } from './service-ports.ts'
import { isService, type Resource, resourcesOf, templateOf } from './workloads.ts'

export interface ManifestOptions extends InjectOptions {
  /** Whether Services that lead past the sidecar are pointed at it; else that is a note. */
  readonly renamesPorts: boolean
}

export interface EditedManifests {
  /** In the order in which they came. */
  readonly texts: readonly string[]
  /** What is worth knowing, each with its place. */
  readonly notes: readonly Problem[]
}

/**
 * Puts the sidecar into every pod template of the manifests that does not refuse it. What is not touched stays byte for byte.
 * Throws `ConfigError` with everything that stands in the way.
 */
export function injectManifests(
  sources: readonly ManifestText[],
  options: ManifestOptions,
): EditedManifests {
  const injecting = new Editing(sources)
  const workloads = injecting.injectPods(options)
  injecting.pointServices(workloads, options.renamesPorts)
  return injecting.finish()
}

/** Takes the sidecar out again, exactly as it was put in. Throws `ConfigError`. */
export function ejectManifests(sources: readonly ManifestText[]): EditedManifests {
  const ejecting = new Editing(sources)
  ejecting.ejectAll()
  return ejecting.finish()
}

/** One object, and the document that it is in. */
interface Located {
  readonly file: ManifestFile
  readonly document: number
  readonly resource: Resource
}

class Editing {
  readonly #files: readonly ManifestFile[]
  readonly #located: readonly Located[]
  readonly #problems: Problem[] = []
  readonly #notes: Problem[] = []

  constructor(sources: readonly ManifestText[]) {
    const parsed = sources.map((source) => ManifestFile.parse(source))
    this.#files = parsed.filter((file) => file instanceof ManifestFile)
    for (const file of parsed) {
      if (!(file instanceof ManifestFile)) this.#problems.push(...file.problems)
    }
    this.#located = this.#files.flatMap((file) =>
      file.values.flatMap((value, document) =>
        resourcesOf(value).map((resource) => ({ file, document, resource })),
      ),
    )
  }

  injectPods(options: InjectOptions): GuardedWorkload[] {
    return this.#located.flatMap((one) => {
      const found = templateOf(one.resource)
      if (found === undefined) return []
      const injection = injectPod(found.template, options)
      if (injection.kind === 'refused') {
        this.#add(this.#problems, one, found.path, injection.problems)
        return []
      }
      this.#add(this.#notes, one, found.path, injection.warnings)
      if (injection.kind === 'skipped') return []
      one.file.set(one.document, found.path, injection.template)
      return [guarded(one.resource, found.template, injection.ports)]
    })
  }

  /** A workload whose port is redirected needs nothing of its Services. */
  pointServices(workloads: readonly GuardedWorkload[], renames: boolean): void {
    const reachable = workloads.filter(({ ports }) => !ports.isRedirected)
    for (const one of this.#located.filter(({ resource }) => isService(resource))) {
      const { value, namespace, path } = one.resource
      for (const workload of reachable) {
        const indexes = workload.namespace === namespace ? unguardedPorts(value, workload) : []
        if (indexes.length === 0) continue
        if (!renames) this.#noteUnguarded(one, workload, indexes)
        else one.file.set(one.document, path, renamePorts(value, indexes, workload.ports.sidecar))
        break
      }
    }
  }

  #noteUnguarded(one: Located, { title, ports }: GuardedWorkload, indexes: number[]): void {
    const message = `${one.resource.title} leads past the sidecar to port ${ports.upstream} of ${title}; point targetPort at ${ports.sidecar}, or use --rename-ports or --redirect`
    const problems = indexes.map((index) => ({ path: ['spec', 'ports', index], message }))
    this.#add(this.#notes, one, one.resource.path, problems)
  }

  ejectAll(): void {
    for (const one of this.#located) {
      if (isService(one.resource)) this.#ejectService(one)
      else this.#ejectPod(one)
    }
  }

  finish(): EditedManifests {
    const edited = this.#files.map((file) => file.edited())
    const problems = [...this.#problems, ...edited.flatMap((file) => file.problems)]
    if (problems.length > 0) throw new ConfigError(problems)
    return { texts: edited.map(({ text }) => text), notes: this.#notes }
  }

  #ejectPod(one: Located): void {
    const found = templateOf(one.resource)
    if (found === undefined) return
    const ejection = ejectPod(found.template)
    if (ejection.kind === 'refused') {
      this.#add(this.#problems, one, found.path, ejection.problems)
    } else if (ejection.kind === 'ejected') {
      one.file.set(one.document, found.path, ejection.template)
    }
  }

  #ejectService(one: Located): void {
    const { value, path } = one.resource
    const restored = restorePorts(value)
    if (restored !== undefined) {
      one.file.set(one.document, path, restored)
      return
    }
    const message = 'is not what an injection wrote, expected it as it was written'
    const at = ['metadata', 'annotations', targetPortsName]
    this.#add(this.#problems, one, path, [{ path: at, message }])
  }

  #add(
    list: Problem[],
    { file, document }: Located,
    base: Resource['path'],
    problems: readonly PodProblem[],
  ): void {
    for (const { path, message } of problems) {
      list.push(file.problem(document, [...base, ...path], message))
    }
  }
}

function guarded(
  { title, namespace }: Resource,
  template: Parameters<typeof readPod>[0],
  ports: Ports,
): GuardedWorkload {
  const { containers } = readPod(template).pod
  const portNames = containers
    .flatMap((container) => container.ports)
    .flatMap(({ name, number }) => (number === ports.upstream && name !== undefined ? [name] : []))
  const labels = mapAt(mapAt(template, 'metadata'), 'labels')
  return { title, namespace, labels, ports, portNames }
}
