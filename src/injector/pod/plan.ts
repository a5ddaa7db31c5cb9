import type { Path } from '../json.ts'
import type { PodProblem } from './annotations.ts'
import { prefix } from './annotations.ts'
import type { Container, ContainerPort, Pod } from './pod.ts'
import { amountOf } from './quantity.ts'
import type { Settings } from './settings.ts'

/** Names of what is added to a pod. */
export const names = {
  sidecar: 'postern',
  redirect: 'postern-redirect',
  port: 'postern',
  healthPort: 'postern-health',
  volumes: {
    agent: 'postern-agent',
    products: 'postern-products',
    keys: 'postern-keys',
    config: 'postern-config',
  },
} as const

/** Where the sidecar's status page is; only within the pod. */
const adminPort = 9901

/** How the sidecar runs in the pod. */
export interface Platform {
  /**
   * Kubernetes 1.29 and newer: an init container with `restartPolicy: Always`, which starts before the workload and ends after
   * it. Else a plain container beside it.
   */
  readonly hasNativeSidecars: boolean
  /** Of Postern, for the default images. */
  readonly version: string
}

/** What is decided about a pod, with nothing left to ask. */
export interface Plan {
  readonly settings: Settings
  readonly platform: Platform
  readonly upstreamPort: number
  readonly gracePeriod: number | undefined
}

export type Planned =
  | {
      readonly kind: 'possible'
      readonly plan: Plan
      readonly warnings: readonly PodProblem[]
    }
  | { readonly kind: 'impossible'; readonly problems: readonly PodProblem[] }

/**
 * Decides how to inject a pod that has nothing of ours, or says all that stands in the way. `guarded`: the port that an earlier
 * injection found; it stays, where the pod still declares it, when somebody has added containers with other ports.
 */
export function planFor(
  pod: Pod,
  settings: Settings,
  platform: Platform,
  guarded?: number,
): Planned {
  const upstream = findUpstream(pod, settings, guarded)
  const problems = [
    ...upstream.problems,
    ...platformProblems(pod, settings, platform),
    ...nameProblems(pod),
    ...portProblems(pod, settings, upstream.port),
    ...resourceProblems(settings),
    ...(settings.redirect ? probesOf(pod, upstream.port, ['httpGet', 'grpc']).map(probeFails) : []),
  ]
  if (problems.length > 0 || upstream.port === undefined) return { kind: 'impossible', problems }
  const warnings = settings.redirect
    ? probesOf(pod, upstream.port, ['tcpSocket']).map(probeMeansLess)
    : []
  const gracePeriod = gracePeriodFor(pod, settings, platform)
  return {
    kind: 'possible',
    plan: { settings, platform, upstreamPort: upstream.port, gracePeriod },
    warnings,
  }
}

const upstreamAnnotation = `${prefix}upstream-port`

function findUpstream(
  pod: Pod,
  { upstreamPort: wanted }: Settings,
  guarded: number | undefined,
): { readonly port: number | undefined; readonly problems: readonly PodProblem[] } {
  if (typeof wanted === 'number') return { port: wanted, problems: [] }
  const ports = pod.containers.flatMap((container) => container.ports)
  const found = wanted === undefined ? ports : ports.filter(({ name }) => name === wanted)
  const numbers = [...new Set(found.map(({ number }) => number))]
  const [port] = numbers
  if (numbers.length === 1) return { port, problems: [] }
  if (guarded !== undefined && numbers.includes(guarded)) return { port: guarded, problems: [] }
  const message =
    wanted === undefined
      ? unclear(numbers)
      : `no container has a TCP port named ${wanted}, expected one that there is in ${upstreamAnnotation}`
  return { port: undefined, problems: [{ path: firstPath(pod), message }] }
}

function unclear(numbers: readonly number[]): string {
  return numbers.length === 0
    ? `no container declares a TCP port, expected one or ${upstreamAnnotation}`
    : `the containers declare the ports ${numbers.join(', ')}, expected ${upstreamAnnotation} to say which one the sidecar guards`
}

function firstPath(pod: Pod): Path {
  return pod.containers.find(({ ports }) => ports.length > 0)?.path ?? ['spec', 'containers']
}

function platformProblems(pod: Pod, settings: Settings, platform: Platform): PodProblem[] {
  const problems: PodProblem[] = []
  if (pod.isWindows) {
    problems.push({ path: ['spec', 'os', 'name'], message: 'the sidecar runs on Linux only' })
  }
  if (pod.ends && !platform.hasNativeSidecars) {
    const message = 'a plain container would keep this pod from ending, expected Kubernetes 1.29'
    problems.push({ path: ['spec', 'restartPolicy'], message })
  }
  if (pod.usesHostNetwork && settings.redirect) {
    const message = 'a redirection would change the network of the node, expected none here'
    problems.push({ path: ['spec', 'hostNetwork'], message })
  }
  return problems
}

function nameProblems(pod: Pod): PodProblem[] {
  const containers = [...pod.containers, ...pod.initContainers]
    .filter(({ name }) => name === names.sidecar || name === names.redirect)
    .map(({ name, path }) => ({ path: [...path, 'name'], message: taken('container', name) }))
  const ours: readonly string[] = Object.values(names.volumes)
  const volumes = pod.volumes
    .filter(({ name }) => ours.includes(name))
    .map(({ name, path }) => ({ path, message: taken('volume', name) }))
  return [...containers, ...volumes]
}

function taken(what: string, name: string): string {
  return `a ${what} is named ${name} already, expected another name: the injected one has it`
}

function portProblems(pod: Pod, settings: Settings, upstream: number | undefined): PodProblem[] {
  const { port, healthPort } = settings
  const own = new Map([
    [adminPort, 'status page'],
    [healthPort, 'health'],
    [port, 'callers'],
  ])
  const problems = [...pod.containers, ...pod.initContainers]
    .flatMap((container: Container) => container.ports)
    .flatMap((declared: ContainerPort) => {
      const what = own.get(declared.number)
      if (what === undefined) return []
      const whose = pod.usesHostNetwork ? ' of the node' : ''
      const message = `port ${declared.number}${whose} is the sidecar's for ${what}, ${remedy(what)}`
      return [{ path: declared.path, message }]
    })
  if (own.size < 3) {
    const message = `the sidecar needs three ports of its own: ${port}, ${healthPort} and ${adminPort}`
    problems.push({ path: ['spec', 'containers'], message })
  }
  if (problems.length > 0 || upstream === undefined || !own.has(upstream)) return problems
  const message = `port ${upstream} cannot be the sidecar's and the workload's, expected ${prefix}port to move it`
  return [{ path: ['spec', 'containers'], message }]
}

function remedy(what: string): string {
  if (what === 'status page') return 'expected another one'
  return `expected another one or ${prefix}${what === 'health' ? 'health-port' : 'port'}`
}

/** An API server takes no container that asks for more than it may have. */
function resourceProblems(settings: Settings): PodProblem[] {
  const { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = settings
  const pairs: [name: string, request: string, limit: string | undefined][] = [
    ['cpu', cpuRequest, cpuLimit],
    ['memory', memoryRequest, memoryLimit],
  ]
  return pairs.flatMap(([name, request, limit]) => {
    if (limit === undefined || amountOf(request) <= amountOf(limit)) return []
    const message = `the sidecar would ask for ${name} ${request} above its limit of ${limit}, expected ${prefix}${name}-request or -limit to change that`
    return [{ path: ['spec', 'containers'], message }]
  })
}

/** Probes and hooks that reach the port of the workload. */
function probesOf(pod: Pod, upstream: number | undefined, kinds: readonly string[]): Path[] {
  return [...pod.containers, ...pod.initContainers].flatMap(({ probes, ports }) =>
    probes
      .filter(({ kind, port }) => {
        const named = ports.find(({ name }) => name !== undefined && name === port)
        return kinds.includes(kind) && (named?.number ?? port) === upstream
      })
      .map(({ path }) => path),
  )
}

function probeFails(path: Path): PodProblem {
  const message =
    'the kubelet would reach the sidecar here and be refused, expected a probe by exec or of another port'
  return { path, message }
}

function probeMeansLess(path: Path): PodProblem {
  return { path, message: 'this now asks whether the sidecar accepts, not the workload' }
}

/** What the end needs beside the drain: to flush the records and exit. */
const exitSeconds = 5

/** Seconds; undefined: what the pod has covers the drain. */
function gracePeriodFor(
  { gracePeriod }: Pod,
  settings: Settings,
  platform: Platform,
): number | undefined {
  const delay = drainDelay(settings, platform).seconds
  const needed = delay + settings.drainTimeout.seconds + exitSeconds
  return (gracePeriod ?? 30) < needed ? needed : undefined
}

/**
 * A native sidecar is told to end when the workload has ended; a plain container at the same moment as the workload, while
 * callers still find its address.
 */
export function drainDelay(
  { drainDelay: said }: Settings,
  { hasNativeSidecars }: Platform,
): { readonly text: string; readonly seconds: number } {
  if (said !== undefined) return said
  return hasNativeSidecars ? { text: '0s', seconds: 0 } : { text: '5s', seconds: 5 }
}
