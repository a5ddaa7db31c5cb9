import assert from 'node:assert/strict'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { DevAgent } from '../../src/dev/dev-agent.ts'
import { askWebhook, webhookName } from '../injector/support/ask-webhook.ts'
import { podWith } from '../injector/support/pods.ts'
import { type Files, PosternProcess, temporaryDirectory } from '../support/postern-process.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'

const anyPort = ['--listen', '127.0.0.1:0', '--health', '127.0.0.1:0', '--shutdown-delay', '3s']
const spiffeId = 'spiffe://corp.example/postern-webhook'

describe('postern webhook', () => {
  describe('with its own SVID', () => {
    let agent: DevAgent
    let postern: PosternProcess

    before(async () => {
      const directory = await temporaryDirectory()
      agent = await DevAgent.start({
        clock: systemClock,
        logger: silentLogger,
        trustDomains: ['corp.example'],
      })
      await agent.addEntry(spiffeId, [webhookName])
      const socketPath = join(directory, 'agent.sock')
      await agent.listen({ socketPath, spiffeId })
      postern = await PosternProcess.start({
        directory,
        files: {},
        args: ['webhook', ...anyPort, '--image', 'r.example/postern:9'],
        env: { SPIFFE_ENDPOINT_SOCKET: `unix://${socketPath}` },
      })
    })

    after(async () => {
      await postern.stop()
      await agent.close()
    })

    const ask = () =>
      askWebhook({ port: postern.port, ca: agent.bundlePem('corp.example'), body: review() })

    it('injects by its flags', async () => {
      const { status, body } = await ask()
      assert.equal(status, 200)
      assert.match(patchIn(body), /"image":"r\.example\/postern:9"/)
      assert.equal(await postern.metric('postern_admissions_total', { outcome: 'injected' }), 1)
    })

    it('serves a renewed SVID without a restart', async () => {
      const { serial } = await ask()
      await agent.renewNow(spiffeId)
      await postern.until('renewed', async () => (await ask()).serial !== serial)
    })

    it('is not ready, and ends well, when it drains', async () => {
      postern.signal('SIGTERM')
      await postern.until('not ready', async () => {
        const { status, missing } = await postern.ready()
        return status === 503 && missing.join() === 'draining'
      })
      assert.equal(await postern.exited, 0)
    })
  })

  describe('with a certificate from files', () => {
    it('waits for it, serves it, and follows it without a restart', async () => {
      const ca = await TestCa.root('corp')
      const newLeaf = () => ca.leaf({ dnsNames: [webhookName] })
      await using postern = await PosternProcess.start({
        files: {},
        args: ['webhook', ...anyPort, '--tls-certificate', 'tls.crt', '--tls-key', 'tls.key'],
        until: 'listening',
      })
      assert.deepEqual((await postern.ready()).missing, ['identity'])
      const serial = async () =>
        (await askWebhook({ port: postern.port, ca: ca.pem, body: review() })).serial
      for (const leaf of [await newLeaf(), await newLeaf()]) {
        await postern.write(pairOf(leaf))
        await postern.until('ready', async () => (await postern.ready()).status === 200)
        const wanted = leaf.certificate.serial.toUpperCase()
        await postern.until('served', async () => (await serial()) === wanted)
      }
    })
  })

  it('says what it needs', async () => {
    for (const args of [
      [],
      ['--tls-key', 'x'],
      ['--tls-certificate', 'x', '--workload-api', 'unix:///x'],
    ]) {
      const ended = await PosternProcess.runToEnd(['webhook', ...anyPort, ...args], { files: {} })
      assert.equal(ended.code, 64)
      assert.match(ended.stderr, /^postern: ERR_CONFIG_INVALID: .*--tls-certificate and --tls-key/)
    }
  })
})

function review(): string {
  const kind = { group: '', version: 'v1', kind: 'Pod' }
  const request = { uid: 'u', kind, operation: 'CREATE', namespace: 'shop', object: podWith() }
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request })
}

function patchIn(body: string): string {
  const { response } = JSON.parse(body) as { response: { patch?: string } }
  return Buffer.from(response.patch ?? '', 'base64').toString()
}

function pairOf(leaf: TestLeaf): Files {
  return { 'tls.crt': leaf.pem, 'tls.key': leaf.keyPem }
}
