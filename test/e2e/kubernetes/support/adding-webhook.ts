import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { JsonMap } from '../../../../src/injector/json.ts'
import { TestCa } from '../../../support/test-ca.ts'
import type { ApiServer } from './api-server.ts'

interface Review {
  readonly request: { readonly uid: string }
}

/** Another mutating webhook of a cluster, which adds this container to every pod of one namespace. */
export class AddingWebhook {
  readonly #server: Server
  #calls = 0

  private constructor(leaf: { readonly pem: string; readonly keyPem: string }, container: JsonMap) {
    const patch = [{ op: 'add', path: '/spec/containers/-', value: container }]
    const text = Buffer.from(JSON.stringify(patch)).toString('base64')
    this.#server = createServer({ cert: leaf.pem, key: leaf.keyPem }, (request, reply) => {
      void json(request).then((review) => {
        this.#calls++
        const { uid } = (review as Review).request
        const response = { uid, allowed: true, patchType: 'JSONPatch', patch: text }
        const answer = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response }
        reply.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
      })
    })
  }

  /** Registered by this name: an API server asks in the order of names. */
  static async start(
    api: ApiServer,
    { name, namespace, container }: { name: string; namespace: string; container: JsonMap },
  ): Promise<AddingWebhook> {
    const ca = await TestCa.root(name)
    const webhook = new AddingWebhook(await ca.leaf({ dnsNames: ['localhost'] }), container)
    await new Promise<void>((resolve) => webhook.#server.listen(0, '127.0.0.1', resolve))
    const { port } = webhook.#server.address() as AddressInfo
    await api.must('POST', '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations', {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name },
      webhooks: [
        {
          name: `${name}.test.example`,
          clientConfig: {
            url: `https://localhost:${port}/`,
            caBundle: Buffer.from(ca.pem).toString('base64'),
          },
          rules: [
            { operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] },
          ],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
        },
      ],
    })
    return webhook
  }

  get calls(): number {
    return this.#calls
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }
}
