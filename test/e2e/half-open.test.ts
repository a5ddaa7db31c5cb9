import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { skip } from '../support/skip.ts'
import { httpVersions } from './support/caller.ts'
import { HalfOpenFlood } from './support/half-open.ts'
import type { HalfOpenReport } from './support/half-open/callers.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { clientHello } from './support/raw-tls.ts'

const total = 10_000
const processes = 4
const addressesPerProcess = 5
/**
 * Of each process, while callers shake hands: however slow the machine is, fewer come behind a caller than the thousand
 * (`maxHandshakes`) that would make it the oldest.
 */
const eachRound = 100
/** In which a caller is in its handshake from before to after. */
const roundsAcross = 3
/** What one may take, as one that has shaken hands (docs/performance.md). */
const bytesPerConnection = 60 * 1024
const patienceMs = 150_000

describe('ten thousand half-open connections', function () {
  this.timeout(400_000)

  before(async function () {
    const limits = await readFile('/proc/self/limits', 'utf8')
    const files = Number(/^Max open files +\d+ +(\d+)/m.exec(limits)?.[1] ?? Infinity)
    if (files < total + 1_000) skip(this, `a process may have ${files} files open`)
  })

  /** Every second one says half a client hello, the others nothing. */
  function flood(port: number): HalfOpenFlood {
    const half = clientHello().subarray(0, 40).toString('base64')
    return HalfOpenFlood.start(
      Array.from({ length: processes }, (_, process) => ({
        port,
        addresses: Array.from(
          { length: addressesPerProcess },
          (_, address) => `127.0.${process + 1}.${address + 1}`,
        ),
        bytes: half,
      })),
    )
  }

  async function assertServed(mesh: Mesh): Promise<void> {
    const caller = await mesh.svidCaller(checkoutId)
    for (const version of httpVersions) {
      assert.equal((await caller.call({}, version)).status, 200)
    }
  }

  /** A caller that connects, and is served once what this resolves with is called: until then it is in its handshake. */
  async function slowCaller(mesh: Mesh): Promise<() => Promise<void>> {
    const { certificatePem: cert, privateKeyPem: key } = await mesh.mint(checkoutId)
    const socket = connect({ port: mesh.postern.port, host: '127.0.0.1' })
    await once(socket, 'connect')
    return async () => {
      const secure = connectTls({ socket, cert, key, rejectUnauthorized: false })
      secure.write('GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n')
      let text = ''
      for await (const chunk of secure) text += String(chunk)
      assert.match(text, /^HTTP\/1\.1 200 /)
    }
  }

  /** So many, a caller being served beside each round. */
  async function open(mesh: Mesh, callers: HalfOpenFlood, many: number): Promise<HalfOpenReport> {
    let report = await callers.report()
    while (report.opened < many) report = await openRound(mesh, callers)
    return report
  }

  async function openRound(mesh: Mesh, callers: HalfOpenFlood): Promise<HalfOpenReport> {
    const [report] = await Promise.all([callers.open(eachRound), assertServed(mesh)])
    return report
  }

  /** Waits for a state of the flood while a caller is served. */
  async function untilServing(
    mesh: Mesh,
    what: string,
    condition: () => Promise<boolean>,
  ): Promise<void> {
    await mesh.postern.until(
      what,
      async () => {
        await assertServed(mesh)
        return condition()
      },
      patienceMs,
    )
  }

  const handshakes = (mesh: Mesh, result: string) =>
    mesh.postern.metric('postern_handshakes_total', { result })

  it('are held in bounded memory while a caller is served, and gone after the handshake timeout', async () => {
    await using mesh = await Mesh.start({
      inbound: {
        limits: {
          maxConnections: total + 100,
          maxHandshakes: total + 100,
          // All must be there before the first one has to go.
          handshakeTimeout: '90s',
        },
      },
    })
    await assertServed(mesh)
    const baselineBytes = await mesh.postern.residentBytes()
    using callers = flood(mesh.postern.port)
    assert.deepEqual(await open(mesh, callers, total), { opened: total, closed: 0 })
    const grownBytes = (await mesh.postern.residentBytes()) - baselineBytes
    assert.ok(grownBytes < total * bytesPerConnection, `${grownBytes / total} bytes each`)

    await untilServing(mesh, 'all closed', async () => (await callers.report()).closed === total)
    assert.equal(await handshakes(mesh, 'timeout'), total)
    assert.equal(await handshakes(mesh, 'failed'), 0)
  })

  it('push out each other, not the callers that are served, where fewer may be', async () => {
    await using mesh = await Mesh.start({ inbound: { limits: { handshakeTimeout: '20s' } } })
    await assertServed(mesh)
    const baselineBytes = await mesh.postern.residentBytes()
    using callers = flood(mesh.postern.port)
    await open(mesh, callers, total - roundsAcross * eachRound * processes)
    for (let i = 0; i < roundsAcross; i++) {
      const isServed = await slowCaller(mesh)
      await openRound(mesh, callers)
      await isServed()
    }
    const grownBytes = (await mesh.postern.residentBytes()) - baselineBytes
    assert.ok(grownBytes < (total * bytesPerConnection) / 3, `${grownBytes} bytes`)
    await untilServing(mesh, 'all closed', async () => (await callers.report()).closed === total)
    assert.ok((await handshakes(mesh, 'too_many_handshakes')) >= 1)
    const ended =
      (await handshakes(mesh, 'too_many_handshakes')) + (await handshakes(mesh, 'timeout'))
    assert.equal(ended, total)
  })
})
