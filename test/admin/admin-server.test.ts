import assert from 'node:assert/strict'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { AdminServer } from '../../src/admin/admin-server.ts'
import { PosternError } from '../../src/core/errors.ts'
import { allow, deny, recordOf } from '../telemetry/support/records.ts'
import { CapturingLogger } from '../telemetry/support/fakes.ts'
import { eventually } from '../workload-api/support/eventually.ts'
import { FakeSidecar } from './support/fake-sidecar.ts'

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly json: Record<string, unknown>
  readonly text: string
}

describe('the admin server', () => {
  let sidecar: FakeSidecar
  let server: AdminServer
  let logger: CapturingLogger

  beforeEach(async () => {
    logger = new CapturingLogger()
    sidecar = new FakeSidecar()
    const { api, clock } = sidecar
    server = await AdminServer.start({ host: '127.0.0.1', port: 0, api, clock, logger })
  })

  afterEach(async () => {
    await server.close()
    assert.deepEqual(logger.messages('error'), [])
  })

  function ask(path: string, { method = 'GET', headers = {}, body = '' } = {}): Promise<Answer> {
    const host = `localhost:${server.port}`
    return new Promise((resolve, reject) => {
      const options = { port: server.port, path, method, headers: { host, ...headers } }
      const request = httpRequest({ ...options, agent: false }, (reply) => {
        let text = ''
        reply.on('data', (chunk: Buffer) => (text += chunk.toString()))
        reply.on('end', () => {
          const isJson = reply.headers['content-type'] === 'application/json' && text !== ''
          const json = (isJson ? JSON.parse(text) : {}) as Answer['json']
          resolve({ status: reply.statusCode ?? 0, headers: reply.headers, json, text })
        })
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  /** Opens a stream of decisions; `text` grows. */
  async function listen(path = '/decisions') {
    const stream = { text: '', isEnded: false }
    const headers = { host: 'localhost', accept: 'text/event-stream' }
    const request = httpRequest({ port: server.port, path, headers, agent: false }, (reply) => {
      reply.on('data', (chunk: Buffer) => (stream.text += chunk.toString()))
      reply.on('close', () => (stream.isEnded = true))
    })
    request.on('error', () => (stream.isEnded = true))
    request.end()
    await eventually(() => stream.text !== '' || stream.isEnded)
    return stream
  }

  for (const path of ['/status', '/decisions', '/migration', '/explain', '/token']) {
    it(`answers ${path} as JSON that no other page may use`, async () => {
      const { status, headers, json } = await ask(path)
      assert.equal(status, 200)
      assert.ok(Object.keys(json).length > 0)
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
      assert.equal(headers['access-control-allow-origin'], undefined)
    })
  }

  it('allows a page of ours nothing but its own files', async () => {
    const policy = String((await ask('/')).headers['content-security-policy'])
    const rules = policy.split('; ')
    assert.ok(rules.includes("default-src 'none'"))
    assert.ok(rules.includes("frame-ancestors 'none'"))
    assert.ok(!/unsafe|\*|http|data:/.test(policy))
  })

  it('refuses a foreign Host on every path, also on those that there are not', async () => {
    for (const path of ['/', '/status', '/token', '/nothing']) {
      const { status, json } = await ask(path, { headers: { host: 'evil.example' } })
      assert.equal(status, 403)
      assert.match(String(json['detail']), /Host/)
    }
  })

  it('knows no other paths and methods', async () => {
    assert.equal((await ask('/nothing')).status, 404)
    assert.equal((await ask('/../package.json')).status, 404)
    assert.equal((await ask('/status', { method: 'DELETE' })).status, 405)
    assert.equal((await ask('/status', { method: 'POST' })).status, 405)
    assert.equal((await ask('/decisions/d_1')).status, 404)
    const head = await ask('/status', { method: 'HEAD' })
    assert.deepEqual([head.status, head.text], [200, ''])
  })

  describe('reload', () => {
    const tokenOf = async () => String((await ask('/token')).json['token'])

    it('reads the files again for who has the token', async () => {
      const headers = { 'x-postern-token': await tokenOf() }
      const { status, json } = await ask('/reload', { method: 'POST', headers })
      assert.equal(status, 200)
      assert.deepEqual(json, { epoch: 1, files: [] })
      assert.equal(sidecar.reloads, 1)
    })

    it('does nothing without it, with another one, by GET, or for another page', async () => {
      const token = await tokenOf()
      const wrong = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`
      const right = { 'x-postern-token': token }
      const asked = [
        await ask('/reload', { method: 'POST' }),
        await ask('/reload', { method: 'POST', headers: { 'x-postern-token': wrong } }),
        await ask('/reload', { method: 'POST', headers: { 'x-postern-token': '' } }),
        await ask('/reload', { headers: right }),
        await ask('/reload', { method: 'POST', headers: { ...right, origin: 'http://evil' } }),
      ]
      assert.deepEqual(
        asked.map(({ status }) => status),
        [403, 403, 403, 405, 403],
      )
      assert.equal(sidecar.reloads, 0)
    })

    it('has another token in another process', async () => {
      const { api, clock } = sidecar
      await using other = await AdminServer.start({
        host: '127.0.0.1',
        port: 0,
        api,
        clock,
        logger,
      })
      const reply = await fetch(`http://127.0.0.1:${other.port}/token`)
      assert.notDeepEqual(await reply.json(), { token: await tokenOf() })
    })
  })

  describe('the list of decisions', () => {
    beforeEach(() => {
      sidecar.decide(
        recordOf({ id: 'd_1', decision: allow() }),
        recordOf({ id: 'd_2', decision: deny({ reason: 'issuer_unknown' }) }),
        recordOf({
          id: 'd_3',
          decision: allow({ product: 'checkout' }),
          clientAddress: '10.9.9.9',
        }),
        recordOf({ id: 'd_4', decision: deny({ reason: 'rate_limited', product: 'checkout' }) }),
      )
    })

    const cases: readonly { query: string; ids: string[] }[] = [
      { query: '', ids: ['d_4', 'd_3', 'd_2', 'd_1'] },
      { query: '?outcome=deny', ids: ['d_4', 'd_2'] },
      { query: '?outcome=deny&product=checkout', ids: ['d_4'] },
      { query: '?reason=issuer_unknown', ids: ['d_2'] },
      { query: '?text=10.9.9', ids: ['d_3'] },
      { query: '?text=CORP.example%2Fcheck', ids: ['d_3', 'd_1'] },
      { query: '?limit=2', ids: ['d_4', 'd_3'] },
      { query: '?credential=api-key', ids: [] },
    ]
    for (const { query, ids } of cases) {
      it(`gives ${ids.join(' ') || 'none'} for ${query || 'no filter'}`, async () => {
        const { json } = await ask(`/decisions${query}`)
        const found = json['decisions'] as { id: string }[]
        assert.deepEqual(
          found.map(({ id }) => id),
          ids,
        )
        assert.equal(json['made'], 4)
      })
    }

    for (const query of [
      '?outcome=maybe',
      '?limit=0',
      '?limit=9999',
      '?limit=1e3',
      '?outcom=deny',
    ]) {
      it(`says what is wrong with ${query}`, async () => {
        const { status, json } = await ask(`/decisions${query}`)
        assert.equal(status, 400)
        assert.match(String(json['detail']), /expected/)
      })
    }

    it('refuses a query without end', async () => {
      assert.equal((await ask(`/decisions?text=${'a'.repeat(9_000)}`)).status, 400)
    })

    it('explains one by its id', async () => {
      const { status, json } = await ask('/decisions/d_2')
      assert.equal(status, 200)
      assert.equal((json['made'] as { id: string }).id, 'd_2')
    })
  })

  describe('the stream of decisions', () => {
    it('tells what is decided from now on, oldest first, and of a new epoch', async () => {
      sidecar.decide(recordOf({ id: 'd_before' }))
      const stream = await listen()
      sidecar.decide(recordOf({ id: 'd_1' }), recordOf({ id: 'd_2' }))
      sidecar.change({})
      sidecar.clock.advance(250)
      await eventually(() => stream.text.includes('event: epoch\ndata: {"epoch":2}\n\n'))

      const events = stream.text.split('\n\n').filter((one) => one.startsWith('event: decision'))
      assert.deepEqual(
        events.map((one) => (JSON.parse(one.split('data: ')[1]!) as { id: string }).id),
        ['d_1', 'd_2'],
      )
    })

    it('keeps to its filter', async () => {
      const stream = await listen('/decisions?outcome=deny')
      sidecar.decide(recordOf({ id: 'd_yes' }), recordOf({ id: 'd_no', decision: deny() }))
      sidecar.clock.advance(250)
      await eventually(() => stream.text.includes('d_no'))
      assert.ok(!stream.text.includes('d_yes'))
    })

    it('says how many it left out of a flood', async () => {
      const stream = await listen()
      for (let i = 0; i < 2_000; i++) sidecar.decide(recordOf({ id: `d_${i}.` }))
      sidecar.clock.advance(250)
      await eventually(() => stream.text.includes('"d_1999."'))
      assert.match(stream.text, /event: skipped\ndata: \{"count":1950\}/)
      assert.equal(stream.text.split('event: decision').length - 1, 50)
    })

    it('says that it is still there when nothing happens', async () => {
      const stream = await listen()
      for (let i = 0; i < 40; i++) sidecar.clock.advance(250)
      await eventually(() => stream.text.includes(': still here'))
      assert.equal(stream.text.split('still here').length - 1, 1)
    })

    it('takes sixteen and no more, until one goes', async () => {
      const streams = await Promise.all(Array.from({ length: 16 }, () => listen()))
      const more = await listen()
      await eventually(() => more.isEnded)
      assert.match(more.text, /event: full/)
      assert.ok(streams.every(({ isEnded }) => !isEnded))
    })

    it('is ended by close, whoever listens', async () => {
      const stream = await listen()
      await server.close()
      await eventually(() => stream.isEnded)
    })

    it('gives up who does not read', async () => {
      const socket = connect(server.port, '127.0.0.1')
      socket.pause()
      const head = 'GET /decisions HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n'
      await new Promise((resolve) => socket.write(head, resolve))
      const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
      socket.on('error', () => undefined)
      const path = `/${'p'.repeat(4_000)}`
      // Much more than the kernel takes for one connection.
      for (let turn = 0; turn < 200 && !socket.destroyed; turn++) {
        for (let i = 0; i < 50; i++) {
          sidecar.decide(recordOf({ request: { method: 'GET', host: 'a', path } }))
        }
        sidecar.clock.advance(250)
        await new Promise(setImmediate)
      }
      socket.resume()
      await ended
    })
  })

  it('reads no body, and ends the connection of who sent one', async () => {
    const { headers, status } = await ask('/status', { body: 'x'.repeat(100) })
    assert.equal(status, 200)
    assert.equal(headers.connection, 'close')
  })

  it('says where it cannot listen', async () => {
    const { api, clock } = sidecar
    const taken = { host: '127.0.0.1', port: server.port, api, clock, logger }
    await assert.rejects(AdminServer.start(taken), (error) => {
      assert.ok(error instanceof PosternError)
      assert.equal(error.code, 'ERR_LISTEN_FAILED')
      return true
    })
  })
})
