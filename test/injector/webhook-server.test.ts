import assert from 'node:assert/strict'
import { Agent } from 'node:https'
import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import { silentLogger } from '../../src/core/logger.ts'
import { WebhookServer } from '../../src/injector/webhook/webhook-server.ts'
import type { ServerIdentity } from '../../src/tls/context.ts'
import { TestCa, type TestLeaf } from '../support/test-ca.ts'
import { askWebhook, type Question, webhookName } from './support/ask-webhook.ts'
import { optionsWith, podWith } from './support/pods.ts'

const tooLarge = ' '.repeat(4 * 1024 * 1024 + 1)

describe('the webhook server', () => {
  let ca: TestCa
  let leaf: TestLeaf
  let server: WebhookServer
  let outcomes: string[]

  before(async () => {
    ca = await TestCa.root('corp')
    leaf = await newLeaf()
  })

  beforeEach(async () => {
    outcomes = []
    server = await start(30_000)
    server.useIdentity(identityOf(leaf))
  })

  afterEach(() => server.close())

  const start = (requestTimeoutMs: number) =>
    WebhookServer.start({
      host: '127.0.0.1',
      port: 0,
      inject: optionsWith(),
      logger: silentLogger,
      onAnswer: (outcome) => outcomes.push(outcome),
      requestTimeoutMs,
    })
  const newLeaf = () => ca.leaf({ dnsNames: [webhookName] })
  const ask = (question: Partial<Question> = {}) =>
    askWebhook({
      ...question,
      port: question.port ?? server.port,
      ca: ca.pem,
      body: question.body ?? review(),
    })

  it('answers an API server that verifies it by name', async () => {
    const { status, body, headers } = await ask()
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/json')
    const { response } = JSON.parse(body) as { response: { uid: string; patch?: string } }
    assert.equal(response.uid, 'u')
    assert.ok(response.patch !== undefined)
    assert.deepEqual(outcomes, ['injected'])
  })

  it('knows by the path whether a pod must ask itself', async () => {
    const { body } = await ask({ path: '/inject/pod' })
    const { response } = JSON.parse(body) as { response: object }
    assert.deepEqual(response, { uid: 'u', allowed: true })
    assert.deepEqual(outcomes, ['skipped'])
  })

  for (const { name, question, status } of [
    { name: 'another path', question: { path: '/' }, status: 404 },
    { name: 'another method', question: { method: 'PUT' }, status: 405 },
    { name: 'another type', question: { type: 'text/plain' }, status: 415 },
    { name: 'what is no JSON', question: { body: '{' }, status: 400 },
    { name: 'what is no review', question: { body: '{}' }, status: 400 },
    { name: 'a body that is too large', question: { body: tooLarge }, status: 413 },
    {
      name: 'one whose length is not told',
      question: { body: tooLarge, isChunked: true },
      status: 413,
    },
  ]) {
    it(`refuses ${name}, and lives on`, async () => {
      const reply = await ask(question).catch((error: unknown) => error as NodeJS.ErrnoException)
      // Whoever goes on sending a body that is too large may see the end of the connection before the reply.
      if (reply instanceof Error) assert.match(String(reply.code), /^(?:EPIPE|ECONNRESET)$/)
      else assert.equal(reply.status, status)
      assert.equal((await ask()).status, 200)
    })
  }

  it('answers nesting without end with an error, and lives on', async () => {
    const deep = `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`
    const body = review().replace('"spec":{', `"x":${deep},"spec":{`)
    const { status } = await ask({ body })
    assert.ok(status === 200 || status === 400 || status === 500, `${status}`)
    assert.equal((await ask()).status, 200)
  })

  it('ends a connection on which a request does not come to its end', async () => {
    await using impatient = await start(500)
    impatient.useIdentity(identityOf(leaf))
    const socket = await open(impatient.port)
    socket.write(
      `POST /inject/pod HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{`,
    )
    let reply = ''
    socket.on('data', (chunk: Buffer) => (reply += chunk.toString()))
    await new Promise((resolve) => socket.once('close', resolve))
    assert.match(reply, /^(?:HTTP\/1\.1 408 |$)/)
  })

  it('serves a new certificate to new connections, and the old one to those that are there', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const first = await ask({ agent })
    assert.equal(first.serial, serialOf(leaf))
    const next = await newLeaf()
    server.useIdentity(identityOf(next))
    assert.equal((await ask()).serial, serialOf(next))
    assert.equal((await ask({ agent })).serial, serialOf(leaf))
    agent.destroy()
  })

  it('keeps the certificate before when it cannot use the next', async () => {
    const other = await newLeaf()
    assert.throws(() => server.useIdentity({ ...identityOf(leaf), privateKeyPem: other.keyPem }), {
      code: 'ERR_TLS_CONTEXT',
    })
    assert.equal((await ask()).serial, serialOf(leaf))
  })

  it('answers nobody without a certificate', async () => {
    await using bare = await start(30_000)
    await assert.rejects(ask({ port: bare.port }))
  })

  it('drains: what is asked is answered, and then the connection ends', async () => {
    const socket = await open()
    const body = review()
    socket.write(
      `POST /inject/pod HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`,
    )
    socket.write(body.slice(0, 10))
    // It has begun to read it when it answers a second connection.
    await ask()
    const { port } = server
    const drained = server.drain()
    await assert.rejects(ask({ port }), { code: 'ECONNREFUSED' })
    socket.write(body.slice(10))
    let reply = ''
    for await (const chunk of socket) reply += String(chunk)
    assert.match(reply, /^HTTP\/1\.1 200 /)
    assert.match(reply, /\r\nconnection: close\r\n/i)
    await drained
  })

  async function open(port = server.port): Promise<TLSSocket> {
    const socket = tlsConnect({
      port,
      host: '127.0.0.1',
      ca: ca.pem,
      servername: webhookName,
    })
    socket.on('error', () => undefined)
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    return socket
  }
})

function review(): string {
  const kind = { group: '', version: 'v1', kind: 'Pod' }
  const request = { uid: 'u', kind, operation: 'CREATE', namespace: 'shop', object: podWith() }
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request })
}

function identityOf(leaf: TestLeaf): ServerIdentity {
  return { certificateChainPem: leaf.pem, privateKeyPem: leaf.keyPem }
}

function serialOf(leaf: TestLeaf): string {
  return leaf.certificate.serial.toUpperCase()
}
