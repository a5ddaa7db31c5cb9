import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { type CallerConnection, httpVersions } from './support/caller.ts'
import { checkoutId, Mesh, type MeshOptions } from './support/mesh.ts'
import { OtlpReceiver } from './support/otlp-receiver.ts'
import { RawConnection } from './support/raw-tls.ts'

describe('the way out', () => {
  it('is not ready first, takes nothing new then, finishes what runs, and ends with 0', async () => {
    const receiver = await OtlpReceiver.start()
    await using mesh = await draining(
      { delay: '4s', timeout: '30s' },
      { env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint } },
    )
    const caller = await mesh.svidCaller(checkoutId)
    const idle = await openEach(mesh)
    for (const one of idle) assert.equal((await one.call()).status, 200)
    const busy = await openEach(mesh)
    const held = holdAnswers(mesh)
    const replies = busy.map((one) => one.call({ path: '/slow' }))
    await mesh.postern.until('both run', () => held.length === busy.length)

    mesh.postern.signal('SIGTERM')
    await mesh.postern.until('not ready', async () => {
      const { status, missing } = await mesh.postern.ready()
      return status === 503 && missing.join() === 'draining'
    })
    assert.equal(await mesh.postern.live(), 200)
    mesh.workload.answerWithEcho()
    assert.equal((await caller.call()).status, 200)

    await Promise.all(idle.map(({ ended }) => ended))
    await assert.rejects(caller.call(), { code: 'ECONNREFUSED' })
    assert.deepEqual(
      busy.map(({ isEnded }) => isEnded),
      [false, false],
    )
    for (const answer of held) answer.end('{}')
    const statuses = (await Promise.all(replies)).map(({ status }) => status)
    assert.deepEqual(statuses, [200, 200])
    await Promise.all(busy.map(({ ended }) => ended))
    busy.forEach((one) => one.close())
    assert.equal(await mesh.postern.exited, 0)

    const slow = mesh.postern.audit.filter(({ request }) => pathOf(request) === '/slow')
    assert.deepEqual(
      slow.map(({ status }) => status),
      [200, 200],
    )
    const names = receiver.spans.map(({ attributes }) => attributes['url.path'])
    assert.equal(names.filter((path) => path === '/slow').length, 2)
    await receiver.close()
  })

  it('cuts what still runs when its time is over, and records it', async () => {
    await using mesh = await draining({ timeout: '500ms' })
    const busy = await openEach(mesh)
    const held = holdAnswers(mesh)
    const replies = busy.map((one) => one.call({ path: '/slow' }))
    const outcomes = Promise.allSettled(replies)
    await mesh.postern.until('both run', () => held.length === busy.length)
    const startMs = performance.now()
    mesh.postern.signal('SIGTERM')
    assert.equal(await mesh.postern.exited, 0)
    // Without a time of its own a drain takes 25 s.
    assert.ok(performance.now() - startMs < 20_000)
    assert.deepEqual(
      (await outcomes).map(({ status }) => status),
      ['rejected', 'rejected'],
    )
    assert.equal(mesh.postern.audit.filter(({ request }) => pathOf(request) === '/slow').length, 2)
  })

  it('goes on undisturbed at a second signal', async () => {
    await using mesh = await draining({ timeout: '20s' })
    const [busy] = await openEach(mesh)
    const held = holdAnswers(mesh)
    const reply = busy!.call()
    await mesh.postern.until('it runs', () => held.length === 1)
    mesh.postern.signal('SIGTERM')
    await mesh.postern.logged('draining')
    mesh.postern.signal('SIGTERM')
    mesh.postern.signal('SIGINT')
    mesh.postern.signal('SIGHUP')
    await mesh.postern.until('still there', async () => (await mesh.postern.live()) === 200)
    held[0]?.end('{}')
    assert.equal((await reply).status, 200)
    busy!.close()
    assert.equal(await mesh.postern.exited, 0)
  })

  it('does not wait for connections that have not even shaken hands', async () => {
    await using mesh = await draining({ timeout: '20s' })
    const silent = await RawConnection.open(mesh.postern.port)
    await mesh.postern.until('it is there', async () => (await mesh.postern.live()) === 200)
    const startMs = performance.now()
    mesh.postern.signal('SIGINT')
    assert.equal(await mesh.postern.exited, 0)
    // As long as a handshake may take.
    assert.ok(performance.now() - startMs < 9_000)
    await silent.ended()
  })

  it('is short while there is no identity yet', async () => {
    await using mesh = await Mesh.start({ withoutAgent: true })
    mesh.postern.signal('SIGTERM')
    assert.equal(await mesh.postern.exited, 0)
  })
})

function draining(drain: Record<string, string>, options: MeshOptions = {}): Promise<Mesh> {
  return Mesh.start({ ...options, config: { drain } })
}

/** A live connection of each version. */
async function openEach(mesh: Mesh): Promise<CallerConnection[]> {
  const caller = await mesh.svidCaller(checkoutId)
  return Promise.all(httpVersions.map((version) => caller.open(version)))
}

/** Answers that the workload owes; the test gives them. */
function holdAnswers(mesh: Mesh): ServerResponse[] {
  const held: ServerResponse[] = []
  mesh.workload.answerWith((_seen, response) => held.push(response))
  return held
}

function pathOf(request: unknown): unknown {
  return (request as { path?: unknown } | undefined)?.path
}
