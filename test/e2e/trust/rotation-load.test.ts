import assert from 'node:assert/strict'
import { nextWindow, windowEnvironment } from '../../support/window.ts'
import { Mesh } from '../support/mesh.ts'
import { rotate, rotationKeys, RotationLoad } from '../support/rotation-load.ts'

/** Whatever is allocated once has been by then. */
const warmUp = 200
/** So many that what a leaked TLS context holds, 30 KiB, stands out from the noise. */
const rotations = 400

/** The short run of `npm run bench -- rotation`. */
describe('an identity that rotates under load', function () {
  this.timeout(240_000)

  it('fails no handshake and no request, and leaves nothing behind in memory', async () => {
    await using mesh = await Mesh.start({ keys: rotationKeys, env: windowEnvironment })
    mesh.workload.answerWith((_request, response) => response.end('hello'))
    using load = await RotationLoad.start(mesh)
    await untilEveryoneCalls(mesh, load)
    await rotate(mesh, warmUp)
    const warm = await nextWindow(mesh.postern)
    await rotate(mesh, rotations)
    const after = await nextWindow(mesh.postern)
    const { failures, svidsSeen } = await load.stop()

    assert.deepEqual(failures, [])
    assert.ok(svidsSeen > 20, `callers saw only ${svidsSeen} of ${warmUp + rotations} SVIDs`)
    assert.equal(await mesh.postern.metric('postern_handshakes_total', { result: 'failed' }), 0)
    assert.equal(
      await mesh.postern.metric('postern_identity_updates_total', { result: 'accepted' }),
      warmUp + rotations + 1,
    )
    const heapBytes = (after.heapBytes - warm.heapBytes) / rotations
    assert.ok(heapBytes < 6 * 1024, `the heap grew by ${heapBytes} bytes with each rotation`)
    const residentBytes = (after.residentBytes - warm.residentBytes) / rotations
    assert.ok(residentBytes < 20 * 1024, `${residentBytes} resident bytes with each rotation`)
  })

  it('is noticed by this test when it breaks: a caller that trusts another CA fails', async () => {
    await using mesh = await Mesh.start({ keys: rotationKeys })
    mesh.workload.answerWith((_request, response) => response.end('hello'))
    using load = await RotationLoad.start(mesh)
    await untilEveryoneCalls(mesh, load)
    await mesh.agent.rotateCa('corp.example')
    await rotate(mesh, 1)
    await mesh.postern.until('failures', async () => (await load.report()).failures.length > 0)
    assert.match((await load.stop()).failures.join(), /no handshake/)
  })
})

/** Sixteen connections, of which half live on. */
async function untilEveryoneCalls(mesh: Mesh, load: RotationLoad): Promise<void> {
  await mesh.postern.until(
    'everyone calls',
    async () => (await load.report()).requests > 50,
    60_000,
  )
}
