import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { PosternError } from '../../src/core/errors.ts'
import { HealthServer, type HealthServerOptions } from '../../src/admin/health-server.ts'
import { CapturingLogger } from '../telemetry/support/fakes.ts'

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

describe('the health server', () => {
  let server: HealthServer
  let missing: string[]
  let metrics: (format: string) => Promise<string>
  const logger = new CapturingLogger()

  beforeEach(async () => {
    missing = []
    metrics = () => Promise.resolve('# HELP a b\n')
    server = await start()
  })

  afterEach(async () => {
    await server.close()
  })

  function start(options: Partial<HealthServerOptions> = {}): Promise<HealthServer> {
    return HealthServer.start({
      host: '127.0.0.1',
      port: 0,
      readiness: { missing: () => missing },
      metrics: (format) => metrics(format),
      logger,
      ...options,
    })
  }

  function ask(path: string, method = 'GET', headers = {}, body = ''): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const port = server.address.port
      const request = httpRequest({ port, path, method, headers, agent: false }, (reply) => {
        const chunks: Buffer[] = []
        reply.on('data', (chunk: Buffer) => chunks.push(chunk))
        reply.on('end', () =>
          resolve({
            status: reply.statusCode ?? 0,
            headers: reply.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        )
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  /** Sends raw bytes and resolves with all that comes until the server closes. */
  function exchange(bytes: string): Promise<string> {
    return new Promise((resolve) => {
      const socket: Socket = connect(server.address.port, '127.0.0.1')
      let received = ''
      socket.on('data', (chunk) => (received += chunk.toString()))
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(received))
      socket.write(bytes)
    })
  }

  for (const [accept, format] of [
    [undefined, 'prometheus'],
    ['*/*', 'prometheus'],
    ['text/plain', 'prometheus'],
    ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text; version=1.0.0; charset=utf-8', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'prometheus'],
    ['application/openmetrics-text;q=0.3,text/plain;q=0.5', 'prometheus'],
    ['application/openmetrics-text;q=0', 'prometheus'],
    [
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      'openmetrics',
    ],
  ] as const) {
    it(`answers ${accept ?? 'no Accept'} with metrics in ${format}`, async () => {
      metrics = (asked) => Promise.resolve(`${asked}\n`)
      const answer = await ask('/metrics', 'GET', accept === undefined ? {} : { accept })
      assert.equal(answer.body, `${format}\n`)
      const type =
        format === 'prometheus'
          ? /^text\/plain; version=0\.0\.4/
          : /^application\/openmetrics-text; version=1\.0\.0/
      assert.match(String(answer.headers['content-type']), type)
    })
  }

  it('is alive, ready or not', async () => {
    missing = ['identity']
    const { status, headers, body } = await ask('/livez')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(body), { status: 'ok' })
  })

  it('is ready when nothing is missing', async () => {
    const { status, body } = await ask('/readyz?verbose')
    assert.equal(status, 200)
    assert.deepEqual(JSON.parse(body), { status: 'ready', missing: [] })
  })

  it('is not ready when something is missing, says what, and becomes ready', async () => {
    missing = ['identity', 'listener']
    const { status, body } = await ask('/readyz')
    assert.equal(status, 503)
    assert.deepEqual(JSON.parse(body), { status: 'not ready', missing: ['identity', 'listener'] })
    missing = []
    assert.equal((await ask('/readyz')).status, 200)
  })

  it('gives metrics in the type that Prometheus asks for', async () => {
    const { status, headers, body } = await ask('/metrics')
    assert.equal(status, 200)
    assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(body, '# HELP a b\n')
  })

  it('makes one text for scrapes at the same time, and a new one for the next', async () => {
    let made = 0
    let finish: (text: string) => void = () => undefined
    let began: () => void = () => undefined
    const begun = new Promise<void>((resolve) => (began = resolve))
    metrics = () => {
      made++
      began()
      return new Promise((resolve) => (finish = resolve))
    }
    let asked: () => void = () => undefined
    const secondHasCome = new Promise<void>((resolve) => (asked = resolve))
    await server.close()
    server = await start({ readiness: { missing: () => (asked(), []) } })
    const first = ask('/metrics')
    await begun
    // What stands behind it on its connection is looked at after it.
    const second = exchange(
      'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    )
    await secondHasCome
    finish('a 1\n')
    assert.equal((await first).body, 'a 1\n')
    assert.match(await second, /\r\n\r\na 1\n/)
    metrics = () => Promise.resolve('a 2\n')
    assert.equal((await ask('/metrics')).body, 'a 2\n')
    assert.equal(made, 1)
  })

  it('answers 500 when metrics fail, tells the log and not the caller, and recovers', async () => {
    metrics = () => Promise.reject(new Error('inner detail'))
    const failed = await ask('/metrics')
    assert.equal(failed.status, 500)
    assert.ok(!failed.body.includes('inner detail'))
    assert.deepEqual(logger.messages('error'), ['health request failed'])
    metrics = () => Promise.resolve('a 1\n')
    assert.equal((await ask('/metrics')).status, 200)
  })

  it('answers HEAD without a body and with its length', async () => {
    const { status, headers, body } = await ask('/metrics', 'HEAD')
    assert.equal(status, 200)
    assert.equal(headers['content-length'], '11')
    assert.equal(body, '')
  })

  for (const path of ['/', '/livez/', '/LIVEZ', '/metrics/../livez', '//livez', '/debug/pprof']) {
    it(`knows nothing of ${path}`, async () => {
      assert.equal((await ask(path)).status, 404)
    })
  }

  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH']) {
    it(`refuses ${method}`, async () => {
      const { status, headers } = await ask('/metrics', method)
      assert.equal(status, 405)
      assert.equal(headers['allow'], 'GET, HEAD')
    })
  }

  it('ends a connection on which a body comes, after the answer', async () => {
    for (const framing of [
      'content-length: 5\r\n\r\nhello',
      'transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    ]) {
      const received = await exchange(
        `POST /livez HTTP/1.1\r\nhost: h\r\n${framing}GET /livez HTTP/1.1\r\nhost: h\r\n\r\n`,
      )
      assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1)
      assert.match(received, /^HTTP\/1\.1 405 [^]*connection: close/i)
    }
  })

  it('refuses a head above 8 KiB', async () => {
    const padding = 'x'.repeat(9_000)
    const received = await exchange(`GET /livez HTTP/1.1\r\nhost: h\r\nx: ${padding}\r\n\r\n`)
    assert.match(received, /^HTTP\/1\.1 431 /)
  })

  it('refuses what is no HTTP', async () => {
    assert.match(await exchange('\x16\x03\x01\x02\x00\x01\r\n\r\n'), /^HTTP\/1\.1 400 /)
    assert.match(await exchange('GET /livez HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /)
  })

  it('waits for a whole request, and not for ever', async () => {
    await server.close()
    server = await start({ requestTimeoutMs: 1_000 })
    for (const part of ['', 'GET /livez', 'GET /livez HTTP/1.1\r\nhost: h\r\n']) {
      assert.match(await exchange(part), /^(HTTP\/1\.1 408 |$)/)
    }
    assert.equal((await ask('/livez')).status, 200)
  })

  it('cuts connections when it is closed, and can be closed again', async () => {
    let began: () => void = () => undefined
    const begun = new Promise<void>((resolve) => (began = resolve))
    metrics = () => {
      began()
      return new Promise(() => undefined)
    }
    const cut = assert.rejects(ask('/metrics'))
    await begun
    const startedMs = performance.now()
    await Promise.all([server.close(), server.close()])
    await cut
    // Its time limits would cut it too, after 10 s.
    assert.ok(performance.now() - startedMs < 5_000)
    await assert.rejects(ask('/livez'))
  })

  it('says which address is taken', async () => {
    const port = server.address.port
    await assert.rejects(
      start({ port }),
      (error) => error instanceof PosternError && error.code === 'ERR_LISTEN_FAILED',
    )
  })
})
