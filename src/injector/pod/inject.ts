import { covers, isList, isMap, type JsonMap, listAt, mapAt, textAt } from '../json.ts'
import { type PodProblem, readAnnotations, recordName } from './annotations.ts'
import { ejectPod } from './eject.ts'
import { type Plan, planFor, type Platform } from './plan.ts'
import { readPod } from './pod.ts'
import type { InjectionRecord } from './record.ts'
import type { Settings } from './settings.ts'
import { guardedPort, redirectContainer, sidecarContainer, sidecarVolumes } from './sidecar.ts'

export interface InjectOptions {
  /** What holds where the pod's annotations say nothing. */
  readonly defaults: Settings
  readonly platform: Platform
  /** Whether a pod that does not say it wants the sidecar gets one. One that says `false` never does. */
  readonly byDefault: boolean
}

export interface Ports {
  readonly upstream: number
  readonly sidecar: number
  readonly isRedirected: boolean
}

export type Injection =
  | {
      readonly kind: 'injected'
      readonly template: JsonMap
      /** The port of the workload, that of the sidecar, and whether what comes to the one is sent to the other. */
      readonly ports: Ports
      readonly warnings: readonly PodProblem[]
    }
  /** It does not want the sidecar. */
  | { readonly kind: 'skipped'; readonly warnings: readonly PodProblem[] }
  | { readonly kind: 'refused'; readonly problems: readonly PodProblem[] }

/**
 * Puts the sidecar into a pod template. Pure. What was injected before is taken out first, so that doing it twice is doing it
 * once; `template` comes back itself when it says all that it should.
 */
export function injectPod(template: JsonMap, options: InjectOptions): Injection {
  const wishes = readAnnotations(template, options.defaults)
  if (!(wishes.inject ?? options.byDefault)) {
    // What is wrong here breaks no pod that did not ask.
    return { kind: 'skipped', warnings: [...wishes.problems, ...wishes.warnings] }
  }
  const ejection = ejectPod(template)
  if (ejection.kind === 'refused') return ejection
  const bare = ejection.kind === 'ejected' ? ejection.template : template
  const { pod, problems } = readPod(bare)
  const guarded = ejection.kind === 'ejected' ? guardedPort(template) : undefined
  const planned = planFor(pod, wishes.settings, options.platform, guarded)
  const all = [
    ...wishes.problems,
    // Of a template that is no pod nothing else can be said.
    ...(problems.length > 0 ? problems : planned.kind === 'impossible' ? planned.problems : []),
  ]
  if (planned.kind === 'impossible' || all.length > 0) return { kind: 'refused', problems: all }
  const injected = add(bare, planned.plan)
  return {
    kind: 'injected',
    template: covers(template, injected) ? template : injected,
    ports: portsOf(planned.plan),
    warnings: [...wishes.warnings, ...planned.warnings],
  }
}

function portsOf({ upstreamPort, settings }: Plan): Ports {
  return { upstream: upstreamPort, sidecar: settings.port, isRedirected: settings.redirect }
}

function add(template: JsonMap, plan: Plan): JsonMap {
  const spec = mapAt(template, 'spec')
  const additions = additionsFor(plan)
  return {
    ...template,
    metadata: withRecord(template, recordOf(template, plan, additions)),
    spec: {
      ...spec,
      ...(additions.initContainers.length === 0
        ? {}
        : { initContainers: [...additions.initContainers, ...listAt(spec, 'initContainers')] }),
      ...(additions.containers.length === 0
        ? {}
        : { containers: [...listAt(spec, 'containers'), ...additions.containers] }),
      volumes: [...listAt(spec, 'volumes'), ...additions.volumes],
      ...(plan.gracePeriod === undefined
        ? {}
        : { terminationGracePeriodSeconds: plan.gracePeriod }),
    },
  }
}

interface Additions {
  readonly initContainers: readonly JsonMap[]
  readonly containers: readonly JsonMap[]
  readonly volumes: readonly JsonMap[]
}

/** A native sidecar is the first init container: it runs before everything of the pod that may call out. */
function additionsFor(plan: Plan): Additions {
  const sidecar = sidecarContainer(plan)
  const { hasNativeSidecars } = plan.platform
  return {
    initContainers: [
      ...(plan.settings.redirect ? [redirectContainer(plan)] : []),
      ...(hasNativeSidecars ? [sidecar] : []),
    ],
    containers: hasNativeSidecars ? [] : [sidecar],
    volumes: sidecarVolumes(plan),
  }
}

function recordOf(template: JsonMap, plan: Plan, additions: Additions): InjectionRecord {
  const { metadata } = template
  const { annotations } = mapAt(template, 'metadata')
  const spec = mapAt(template, 'spec')
  const { initContainers, volumes, terminationGracePeriodSeconds: before } = spec
  const needsInitContainers = additions.initContainers.length > 0
  const created: InjectionRecord['created'] = []
  if (!isMap(metadata)) created.push('metadata')
  if (!isMap(annotations)) created.push('annotations')
  if (needsInitContainers && !isList(initContainers)) created.push('initContainers')
  if (!isList(volumes)) created.push('volumes')
  const nulls: InjectionRecord['nulls'] = []
  if (metadata === null) nulls.push('metadata')
  if (annotations === null) nulls.push('annotations')
  if (needsInitContainers && initContainers === null) nulls.push('initContainers')
  if (volumes === null) nulls.push('volumes')
  if (plan.gracePeriod !== undefined && before === null) nulls.push('terminationGracePeriodSeconds')
  return {
    ...namesOf('initContainers', additions.initContainers),
    ...namesOf('containers', additions.containers),
    ...namesOf('volumes', additions.volumes),
    ...(created.length === 0 ? {} : { created }),
    ...(nulls.length === 0 ? {} : { nulls }),
    ...(plan.gracePeriod === undefined
      ? {}
      : { terminationGracePeriodSeconds: typeof before === 'number' ? before : null }),
  }
}

function namesOf(key: keyof Additions, added: readonly JsonMap[]): Partial<InjectionRecord> {
  return added.length === 0 ? {} : { [key]: added.map((one) => textAt(one, 'name')) }
}

function withRecord(template: JsonMap, record: InjectionRecord): JsonMap {
  const metadata = mapAt(template, 'metadata')
  const annotations = mapAt(metadata, 'annotations')
  return {
    ...metadata,
    annotations: { ...annotations, [recordName]: JSON.stringify(record) },
  }
}
