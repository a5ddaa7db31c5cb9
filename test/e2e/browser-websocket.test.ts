import assert from 'node:assert/strict'
import type { Browser } from 'playwright-core'
import { WebSocketServer } from 'ws'
import { launchBrowser } from './support/browser.ts'
import type { CallerIdentity } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'

/**
 * Runs in the page, as a text: says what came, or how it ended. A page can set no header of a WebSocket; what it has is the
 * certificate of its browser, which Playwright presents in its place: the WebSocket is Chromium's, the TLS is not.
 */
const talk = (url: string) => `new Promise((resolve) => {
  const socket = new WebSocket(${JSON.stringify(url)})
  socket.binaryType = 'arraybuffer'
  const got = []
  socket.onopen = () => {
    socket.send('a text')
    socket.send(new Uint8Array(70000).fill(7))
  }
  socket.onmessage = ({ data }) => {
    got.push(typeof data === 'string' ? data : [...new Uint8Array(data)].filter((byte) => byte === 7).length)
    if (got.length === 2) socket.close(4001, 'enough')
  }
  socket.onclose = ({ code, reason, wasClean }) => resolve({ got, code, reason, wasClean })
})`

describe('a WebSocket of Chromium', function () {
  this.timeout(180_000)
  let browser: Browser
  let mesh: Mesh
  let workload: WebSocketServer
  let closes: { readonly code: number; readonly reason: string }[]

  before(async function () {
    this.timeout(180_000)
    browser = await launchBrowser(this)
    mesh = await Mesh.start()
    closes = []
    workload = new WebSocketServer({ server: mesh.workload.server })
    workload.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
      socket.on('close', (code, reason) => closes.push({ code, reason: reason.toString() }))
    })
  })

  after(async () => {
    await browser.close()
    workload.close()
    await mesh.close()
  })

  /** What a page of the sidecar's own origin says of its WebSocket. */
  async function talkFromPage(identity?: CallerIdentity): Promise<unknown> {
    const origin = `https://127.0.0.1:${mesh.postern.port}`
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      ...(identity && {
        clientCertificates: [
          {
            origin,
            cert: Buffer.from(identity.certificatePem),
            key: Buffer.from(identity.privateKeyPem),
          },
        ],
      }),
    })
    try {
      const page = await context.newPage()
      await page.goto(`${origin}/page`)
      return await page.evaluate(talk(`wss://127.0.0.1:${mesh.postern.port}/chat`))
    } finally {
      await context.close()
    }
  }

  it('with the certificate of a caller is carried, texts, bytes and the code of its end', async () => {
    const said = await talkFromPage(await mesh.mint(checkoutId))
    assert.deepEqual(said, {
      got: ['a text', 70_000],
      code: 4001,
      reason: 'enough',
      wasClean: true,
    })
    await mesh.postern.until('the workload has seen its end', () => closes.length > 0)
    assert.deepEqual(closes, [{ code: 4001, reason: 'enough' }])
    const isChat = (path: unknown) => (path as { readonly path?: string }).path === '/chat'
    await mesh.postern.until('audited', () =>
      mesh.postern.audit.some(({ request }) => isChat(request)),
    )
    const line = mesh.postern.audit.find(({ request }) => isChat(request))
    assert.deepEqual([line?.protocol, line?.decision['product']], ['websocket', 'checkout'])
  })

  it('without one is refused, and reaches nobody', async () => {
    const before = closes.length
    const said = await talkFromPage()
    assert.deepEqual(said, { got: [], code: 1006, reason: '', wasClean: false })
    assert.equal(closes.length, before)
  })
})
