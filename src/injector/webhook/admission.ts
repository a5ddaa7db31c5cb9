import { z } from 'zod'
import { formatPath } from '../../config/checker.ts'
import { isMap, type JsonMap, mapAt, textAt } from '../json.ts'
import type { PodProblem } from '../pod/annotations.ts'
import { type InjectOptions, injectPod } from '../pod/inject.ts'
import { jsonPatch, type PatchOperation } from './json-patch.ts'

/** What an API server asks (admission.k8s.io/v1), as far as we look at it. */
const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1).max(256),
    kind: z.object({ group: z.string(), version: z.string(), kind: z.string() }),
    operation: z.string(),
    namespace: z.string().optional(),
    name: z.string().optional(),
    dryRun: z.boolean().nullish(),
    object: z.unknown(),
  }),
})

type Request = z.infer<typeof reviewSchema>['request']

export type AdmissionOutcome = 'injected' | 'unchanged' | 'skipped' | 'denied'

/** One question and its answer. */
export type Admission =
  | {
      readonly kind: 'answered'
      readonly outcome: AdmissionOutcome
      /** The AdmissionReview to send back. */
      readonly reply: object
      /** For the log. */
      readonly facts: {
        readonly namespace: string
        readonly pod: string
        readonly dryRun: boolean
        readonly reason?: string
      }
    }
  /** It is no AdmissionReview v1. */
  | { readonly kind: 'malformed'; readonly message: string }

/**
 * Answers an AdmissionReview v1. Pure, and without any effect elsewhere, so that a dry run is answered as every other. What is
 * not the creation of a pod is allowed as it is.
 */
export function admit(body: unknown, options: InjectOptions): Admission {
  const parsed = reviewSchema.safeParse(body)
  if (!parsed.success) return { kind: 'malformed', message: describe(parsed.error) }
  const { request } = parsed.data
  const { object } = request
  const isPod = request.kind.group === '' && request.kind.kind === 'Pod'
  if (!isPod || request.operation !== 'CREATE' || !isMap(object)) {
    return answer(request, 'skipped', { allowed: true })
  }
  return admitPod(request, object, options)
}

function admitPod(request: Request, pod: JsonMap, options: InjectOptions): Admission {
  const injection = injectPod(pod, options)
  switch (injection.kind) {
    case 'skipped':
      return answer(request, 'skipped', { allowed: true, ...warningsOf(injection.warnings) })
    case 'refused':
      return deny(request, injection.problems)
    case 'injected': {
      const patch = jsonPatch(pod, injection.template)
      const warnings = warningsOf(injection.warnings)
      return patch.length === 0
        ? answer(request, 'unchanged', { allowed: true, ...warnings })
        : answer(request, 'injected', { allowed: true, ...warnings, ...encode(patch) })
    }
  }
}

/** The code of an object that an API server finds invalid itself. */
const unprocessable = 422

function deny(request: Request, problems: readonly PodProblem[]): Admission {
  const all = problems.map(lineOf).join('; ')
  const message = `${titleOf(request)} cannot have the Postern sidecar: ${all}`
  const status = { code: unprocessable, reason: 'Invalid', message: message.slice(0, 4_096) }
  return answer(request, 'denied', { allowed: false, status }, all)
}

function answer(
  request: Request,
  outcome: AdmissionOutcome,
  response: object,
  reason?: string,
): Admission {
  return {
    kind: 'answered',
    outcome,
    reply: {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: request.uid, ...response },
    },
    facts: {
      namespace: request.namespace ?? '',
      pod: nameOf(request),
      dryRun: request.dryRun === true,
      ...(reason === undefined ? {} : { reason }),
    },
  }
}

function encode(patch: readonly PatchOperation[]): object {
  return {
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
  }
}

/** An API server cuts warnings that are longer, and more than these. */
const longestWarning = 256
const mostWarnings = 10

function warningsOf(problems: readonly PodProblem[]): { readonly warnings?: readonly string[] } {
  if (problems.length === 0) return {}
  const warnings = problems.slice(0, mostWarnings).map(({ message, path }) => {
    const isOfAnnotation = path[1] === 'annotations'
    return (isOfAnnotation ? message : lineOf({ path, message })).slice(0, longestWarning)
  })
  return { warnings }
}

function lineOf({ path, message }: PodProblem): string {
  return `${formatPath(path)}: ${message}`
}

function titleOf(request: Request): string {
  return `pod ${request.namespace ?? ''}/${nameOf(request)}`
}

/** A pod of a Deployment has no name yet. */
function nameOf({ name, object }: Request): string {
  if (name !== undefined && name !== '') return name
  const metadata = mapAt(object, 'metadata')
  return textAt(metadata, 'name') ?? textAt(metadata, 'generateName') ?? '?'
}

function describe({ issues }: z.ZodError): string {
  const [first] = issues
  const path = (first?.path ?? []).join('.')
  return `is no AdmissionReview of admission.k8s.io/v1: ${path === '' ? '' : `${path}: `}${first?.message ?? ''}`
}
