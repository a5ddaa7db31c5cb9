import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
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
 * Of each process, while one caller shakes hands: however slow the machine is, fewer come behind the caller than the thousand
 * (`maxHandshakes`) that would make it the oldest.
 */
const eachRound = 100
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

  /** All of them, a caller being served beside each round. */
  async function openAll(mesh: Mesh, callers: HalfOpenFlood): Promise<HalfOpenReport> {
    let report = await callers.report()
    while (report.opened < total) {
      ;[report] = await Promise.all([callers.open(eachRound), assertServed(mesh)])
    }
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
    assert.deepEqual(await openAll(mesh, callers), { opened: total, closed: 0 })
    const grownBytes = (await mesh.postern.residentBytes()) - baselineBytes
    assert.ok(grownBytes < total * bytesPerConnection, `${grownBytes / total} bytes each`)

    await untilServing(mesh, 'all closed', async () => (await callers.report()).closed === total)
    assert.equal(await handshakes(mesh, 'timeout'), total)
    assert.equal(await handshakes(mesh, 'failed'), 0)
  })

  it('push out each other, not the callers that are served, where fewer may be', async () => {
    await using mesh = await Mesh.start()
    await assertServed(mesh)
    const baselineBytes = await mesh.postern.residentBytes()
    using callers = flood(mesh.postern.port)
    await openAll(mesh, callers)
    const grownBytes = (await mesh.postern.residentBytes()) - baselineBytes
    assert.ok(grownBytes < (total * bytesPerConnection) / 3, `${grownBytes} bytes`)
    await untilServing(mesh, 'all closed', async () => (await callers.report()).closed === total)
    assert.ok((await handshakes(mesh, 'too_many_handshakes')) >= 1)
    const ended =
      (await handshakes(mesh, 'too_many_handshakes')) + (await handshakes(mesh, 'timeout'))
    assert.equal(ended, total)
  })
})
