import { stringify } from 'yaml'
import type { Json, JsonMap } from '../json.ts'
import { injectName } from '../pod/annotations.ts'
import { webhookPaths } from './webhook-server.ts'

export interface WebhookConfigurationOptions {
  /** Where the webhook runs; its own namespace is never injected. */
  readonly namespace: string
  /** Its Service. */
  readonly service: string
  /** PEM; undefined: something in the cluster fills it in. */
  readonly caBundle: string | undefined
  /** What an API server does with a pod that asked while the webhook cannot be reached. */
  readonly failurePolicy: 'Fail' | 'Ignore'
  /** 1 to 30. */
  readonly timeoutSeconds: number
  /** Further namespaces that are never injected. */
  readonly excluded: readonly string[]
  /** Kubernetes 1.28 and newer: conditions on what a pod says itself. */
  readonly hasMatchConditions: boolean
}

/** What a cluster needs to come back to life is created without us, whatever its labels say. */
const alwaysExcluded = ['kube-system', 'kube-public', 'kube-node-lease']

const saysTrue = `has(object.metadata.annotations) && '${injectName}' in object.metadata.annotations && object.metadata.annotations['${injectName}'] == 'true'`
const saysFalse = saysTrue.replace(/'true'$/, "'false'")

/**
 * The MutatingWebhookConfiguration. It cannot lock a cluster out: only namespaces and pods that ask are sent here at all, and
 * those of the control plane and of the webhook itself never are, so that both can start while the webhook is down.
 */
export function webhookConfiguration(options: WebhookConfigurationOptions): string {
  return stringify(
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: {
        name: 'postern',
        labels: {
          'app.kubernetes.io/name': 'postern',
          // With this label SPIRE's notifier k8sbundle keeps the CA bundle as its trust bundle is.
          'spiffe.io/webhook': 'true',
        },
      },
      webhooks: [
        webhook(options, {
          name: 'namespace.inject.postern.dev',
          path: webhookPaths.namespace,
          label: { key: injectName, operator: 'In', values: ['true'] },
          condition: { name: 'not-refused', expression: `!(${saysFalse})` },
        }),
        ...(options.hasMatchConditions
          ? [
              webhook(options, {
                name: 'pod.inject.postern.dev',
                path: webhookPaths.pod,
                label: { key: injectName, operator: 'NotIn', values: ['true'] },
                condition: { name: 'asked', expression: saysTrue },
              }),
            ]
          : []),
      ],
    },
    { lineWidth: 0 },
  )
}

function webhook(
  options: WebhookConfigurationOptions,
  one: { name: string; path: string; label: JsonMap; condition: JsonMap },
): Json {
  const { namespace, service, caBundle, failurePolicy, timeoutSeconds, excluded } = options
  const never = [...new Set([...alwaysExcluded, namespace, ...excluded])]
  return {
    name: one.name,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy,
    timeoutSeconds,
    matchPolicy: 'Equivalent',
    // Webhooks that come later may add containers and ports.
    reinvocationPolicy: 'IfNeeded',
    rules: [
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        resources: ['pods'],
        operations: ['CREATE'],
        scope: 'Namespaced',
      },
    ],
    namespaceSelector: {
      matchExpressions: [
        { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: never },
        one.label,
      ],
    },
    ...(options.hasMatchConditions ? { matchConditions: [one.condition] } : {}),
    clientConfig: {
      service: { namespace, name: service, path: one.path, port: 443 },
      ...(caBundle === undefined ? {} : { caBundle: Buffer.from(caBundle).toString('base64') }),
    },
  }
}
