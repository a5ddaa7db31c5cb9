import assert from 'node:assert/strict'
import { httpVersions } from './caller.ts'
import { checkoutId, Mesh, type MeshOptions } from './mesh.ts'

/** What all attacks of one file together may cost in memory. */
const allowedGrowthBytes = 48 * 1024 * 1024

/** A sidecar that is attacked. */
export interface UnderAttack {
  /** From the first `before` hook on. */
  readonly mesh: Mesh
  /** A caller that means well is served by each version of HTTP. */
  goodCalls(): Promise<void>
}

/** Starts it for this suite, and looks after each of its tests whether others are served, at what cost, and what was logged. */
export function underAttack(options: MeshOptions): UnderAttack {
  let mesh: Mesh | undefined
  let baselineBytes = 0

  const attacked: UnderAttack = {
    get mesh() {
      if (mesh === undefined) throw new TypeError('not started')
      return mesh
    },
    async goodCalls() {
      const caller = await attacked.mesh.svidCaller(checkoutId)
      for (const version of httpVersions) {
        const { json } = await caller.call({}, version)
        assert.equal(json.headers?.['x-postern-product'], 'checkout')
      }
    },
  }

  before(async () => {
    mesh = await Mesh.start(options)
    for (let i = 0; i < 20; i++) await attacked.goodCalls()
    baselineBytes = await mesh.postern.residentBytes()
  })

  after(() => mesh?.close())

  afterEach(
    'a good caller is served, memory is bounded, and nothing unexpected is logged',
    async () => {
      await attacked.goodCalls()
      const { postern } = attacked.mesh
      const grownBytes = (await postern.residentBytes()) - baselineBytes
      assert.ok(grownBytes < allowedGrowthBytes, `grown by ${grownBytes} bytes`)
      const loud = postern.logs.filter(({ level }) => level === 'error' || level === 'warn')
      assert.deepEqual(loud, [])
    },
  )

  return attacked
}
