import { rename } from 'node:fs/promises'
import { parse } from 'yaml'
import { webhookName } from '../../../injector/support/ask-webhook.ts'
import { PosternProcess, temporaryDirectory } from '../../../support/postern-process.ts'
import { TestCa, type TestLeaf } from '../../../support/test-ca.ts'
import { ApiServer } from './api-server.ts'

interface Configuration {
  readonly metadata: object
  readonly webhooks: { readonly clientConfig: { readonly service: { port: number } } }[]
}

const configurationPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations'

/** An API server with the webhook registered as `postern webhook --print-configuration` says, and namespaces of each kind. */
export class Cluster {
  readonly api: ApiServer
  #ca: TestCa
  #webhook: PosternProcess
  readonly #port: number

  private constructor(api: ApiServer, ca: TestCa, webhook: PosternProcess) {
    this.api = api
    this.#ca = ca
    this.#webhook = webhook
    this.#port = webhook.port
  }

  static async start(): Promise<Cluster> {
    const ca = await TestCa.root('webhook')
    const [api, webhook] = await Promise.all([ApiServer.start(), startWebhook(await leafOf(ca), 0)])
    const cluster = new Cluster(api, ca, webhook)
    try {
      await cluster.#prepare()
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  get webhook(): PosternProcess {
    return this.#webhook
  }

  /** Registers the webhook anew, with further flags. */
  async register(...flags: readonly string[]): Promise<void> {
    const printed = await PosternProcess.runToEnd(
      ['webhook', '--print-configuration', '--ca-bundle', 'ca.pem', ...flags],
      { files: { 'ca.pem': this.#ca.pem } },
    )
    if (printed.code !== 0) throw new Error(printed.stderr)
    const configuration = parse(printed.stdout) as Configuration
    for (const { clientConfig } of configuration.webhooks) clientConfig.service.port = this.#port
    const path = `${configurationPath}/postern?fieldManager=test&force=true&fieldValidation=Strict`
    await this.api.must('PATCH', path, JSON.stringify(configuration))
  }

  /** Tells the API server to trust that one alone. */
  async trustAnotherCa(): Promise<void> {
    this.#ca = await TestCa.root('webhook, the second')
    await this.register()
  }

  /** Writes a certificate of the CA that is trusted now, as something that renews it would. */
  async renewCertificate(): Promise<void> {
    const leaf = await leafOf(this.#ca)
    await this.#webhook.write({ 'new.crt': leaf.pem, 'new.key': leaf.keyPem })
    await rename(this.#webhook.path('new.key'), this.#webhook.path('tls.key'))
    await rename(this.#webhook.path('new.crt'), this.#webhook.path('tls.crt'))
  }

  async stopWebhook(): Promise<void> {
    await this.#webhook.stop()
  }

  /** On the port that the API server knows. */
  async startWebhook(): Promise<void> {
    this.#webhook = await startWebhook(await leafOf(this.#ca), this.#port)
  }

  async close(): Promise<void> {
    await this.#webhook.stop()
    await this.api.close()
  }

  async #prepare(): Promise<void> {
    const { api } = this
    const asks = { 'postern.dev/inject': 'true' }
    const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' }
    await api.createNamespace('postern', asks)
    await api.createNamespace('guarded', asks)
    await api.createNamespace('restricted', { ...asks, ...restricted })
    await api.createNamespace('open', {})
    // An API server follows a Service of this type itself: there is no kube-proxy here.
    await api.must('POST', '/api/v1/namespaces/postern/services', {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'postern-webhook' },
      spec: { type: 'ExternalName', externalName: 'localhost' },
    })
    await this.register()
  }
}

function leafOf(ca: TestCa): Promise<TestLeaf> {
  return ca.leaf({ dnsNames: [webhookName] })
}

async function startWebhook(leaf: TestLeaf, port: number): Promise<PosternProcess> {
  return PosternProcess.start({
    directory: await temporaryDirectory(),
    files: { 'tls.crt': leaf.pem, 'tls.key': leaf.keyPem },
    args: [
      ...['webhook', '--listen', `127.0.0.1:${port}`, '--health', '127.0.0.1:0'],
      ...['--tls-certificate', 'tls.crt', '--tls-key', 'tls.key', '--shutdown-delay', '1s'],
    ],
  })
}
