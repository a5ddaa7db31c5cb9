import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import type { JsonMap } from '../../../src/injector/json.ts'

/** An object of Kubernetes as a manifest has it. */
export interface Manifest extends JsonMap {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: JsonMap & { readonly name: string; readonly namespace?: string }
}

const deploy = join(import.meta.dirname, '../../../deploy')

/** What `kubectl apply -k deploy/kustomize/NAME` applies: nothing there is patched. */
export function kustomization(name: string): readonly Manifest[] {
  const folder = join(deploy, 'kustomize', name)
  const read = (file: string) => readFileSync(join(folder, file), 'utf8')
  const { resources } = parse(read('kustomization.yaml')) as { readonly resources: string[] }
  return resources.flatMap((file) => parseManifests(read(file)))
}

/** Every document that is not empty. Throws for what is no YAML. */
export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors
    if (error !== undefined) throw error
    const value = document.toJS() as Manifest | null
    return value === null ? [] : [value]
  })
}

export function ofKind(manifests: readonly Manifest[], kind: string): Manifest {
  const manifest = manifests.find((candidate) => candidate.kind === kind)
  if (manifest === undefined) throw new Error(`no ${kind}`)
  return manifest
}

const collections: Readonly<Record<string, string>> = {
  Deployment: '/apis/apps/v1/namespaces/postern/deployments',
  MutatingWebhookConfiguration:
    '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
  Namespace: '/api/v1/namespaces',
  NetworkPolicy: '/apis/networking.k8s.io/v1/namespaces/postern/networkpolicies',
  Pod: '/api/v1/namespaces/postern/pods',
  PodDisruptionBudget: '/apis/policy/v1/namespaces/postern/poddisruptionbudgets',
  Service: '/api/v1/namespaces/postern/services',
  ServiceAccount: '/api/v1/namespaces/postern/serviceaccounts',
}

/** Where an API server keeps an object of the namespace postern. */
export function pathOf({ kind, metadata }: Pick<Manifest, 'kind' | 'metadata'>): string {
  const collection = collections[kind]
  if (collection === undefined) throw new Error(`no path for ${kind}`)
  return `${collection}/${metadata.name}`
}
