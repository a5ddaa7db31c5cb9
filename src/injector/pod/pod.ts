import {
  isList,
  isMap,
  type Json,
  type JsonMap,
  listAt,
  mapAt,
  type Path,
  textAt,
} from '../json.ts'
import type { PodProblem } from './annotations.ts'

/** What of a pod template matters here. Paths lead from the template. */
export interface Pod {
  readonly containers: readonly Container[]
  readonly initContainers: readonly Container[]
  readonly volumes: readonly { readonly name: string; readonly path: Path }[]
  readonly usesHostNetwork: boolean
  /** Its containers end some day, as those of a Job do. */
  readonly ends: boolean
  readonly isWindows: boolean
  /** Seconds; undefined: the default of 30. */
  readonly gracePeriod: number | undefined
}

export interface Container {
  readonly name: string
  readonly path: Path
  readonly ports: readonly ContainerPort[]
  readonly probes: readonly Probe[]
}

/** A TCP port that a container declares. */
export interface ContainerPort {
  readonly name: string | undefined
  readonly number: number
  readonly path: Path
}

/** Something that the kubelet connects to from outside of the pod. */
export interface Probe {
  readonly kind: 'httpGet' | 'tcpSocket' | 'grpc'
  readonly port: Json | undefined
  readonly path: Path
}

/** Reads a template; everything that is no pod is told in `problems`. */
export function readPod(template: JsonMap): { pod: Pod; problems: readonly PodProblem[] } {
  const spec = mapAt(template, 'spec')
  const problems = shapeProblems(template)
  const pod: Pod = {
    containers: readContainers(spec, 'containers'),
    initContainers: readContainers(spec, 'initContainers'),
    volumes: listAt(spec, 'volumes').map((volume, index) => ({
      name: textAt(volume, 'name') ?? '',
      path: ['spec', 'volumes', index, 'name'],
    })),
    usesHostNetwork: spec['hostNetwork'] === true,
    ends: spec['restartPolicy'] === 'Never' || spec['restartPolicy'] === 'OnFailure',
    isWindows: textAt(spec['os'], 'name') === 'windows',
    gracePeriod: numberAt(spec, 'terminationGracePeriodSeconds'),
  }
  return { pod, problems }
}

const listsOfSpec = ['containers', 'initContainers', 'volumes']

function shapeProblems(template: JsonMap): PodProblem[] {
  const { spec, metadata } = template
  if (!isMap(spec)) return [{ path: ['spec'], message: 'is not the spec of a pod, expected a map' }]
  const problems: PodProblem[] = listsOfSpec
    .filter((key) => !isAbsent(spec[key]) && !isList(spec[key]))
    .map((key) => ({ path: ['spec', key], message: 'is not a list' }))
  const annotations = isMap(metadata) ? metadata['annotations'] : undefined
  if (!isAbsent(metadata) && !isMap(metadata)) {
    problems.push({ path: ['metadata'], message: 'is not a map' })
  } else if (!isAbsent(annotations) && !isMap(annotations)) {
    problems.push({ path: ['metadata', 'annotations'], message: 'is not a map' })
  }
  if (listAt(spec, 'containers').length === 0 && problems.length === 0) {
    problems.push({ path: ['spec', 'containers'], message: 'has no container' })
  }
  return [...problems, ...gracePeriodProblems(spec), ...containerPortProblems(spec)]
}

function gracePeriodProblems(spec: JsonMap): PodProblem[] {
  const key = 'terminationGracePeriodSeconds'
  const seconds = spec[key]
  if (isAbsent(seconds) || Number.isSafeInteger(seconds)) return []
  return [{ path: ['spec', key], message: `${shown(seconds)} is not a whole number of seconds` }]
}

function containerPortProblems(spec: JsonMap): PodProblem[] {
  return ['containers', 'initContainers'].flatMap((list) =>
    listAt(spec, list).flatMap((container, at) =>
      listAt(container, 'ports').flatMap((port, index) => {
        const number = isMap(port) ? port['containerPort'] : undefined
        if (isPortNumber(number)) return []
        const message = `${shown(number)} is not a port, expected a number from 1 to 65535`
        return [{ path: ['spec', list, at, 'ports', index, 'containerPort'], message }]
      }),
    ),
  )
}

function isPortNumber(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80)
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null
}

function readContainers(spec: JsonMap, key: string): Container[] {
  return listAt(spec, key).map((container, index) => readContainer(container, ['spec', key, index]))
}

function readContainer(container: Json, path: Path): Container {
  return {
    name: textAt(container, 'name') ?? '',
    path,
    ports: listAt(container, 'ports').flatMap((port, i) => readPort(port, [...path, 'ports', i])),
    probes: [
      ...['livenessProbe', 'readinessProbe', 'startupProbe'].flatMap((name) =>
        readProbe(mapAt(container, name), [...path, name]),
      ),
      ...['postStart', 'preStop'].flatMap((name) =>
        readProbe(mapAt(mapAt(container, 'lifecycle'), name), [...path, 'lifecycle', name]),
      ),
    ],
  }
}

function readPort(port: Json, path: Path): ContainerPort[] {
  const number = numberAt(port, 'containerPort')
  const protocol = textAt(port, 'protocol') ?? 'TCP'
  if (number === undefined || protocol !== 'TCP') return []
  return [{ name: textAt(port, 'name'), number, path: [...path, 'containerPort'] }]
}

function readProbe(probe: JsonMap, path: Path): Probe[] {
  return (['httpGet', 'tcpSocket', 'grpc'] as const)
    .filter((kind) => isMap(probe[kind]))
    .map((kind) => ({ kind, port: mapAt(probe, kind)['port'], path: [...path, kind, 'port'] }))
}

function numberAt(parent: unknown, key: string): number | undefined {
  const value = isMap(parent) ? parent[key] : undefined
  return typeof value === 'number' ? value : undefined
}
