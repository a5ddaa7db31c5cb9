import { requireSpire } from '../../support/spire.ts'
import { federationRows } from '../trust/support/federation-rows.ts'
import { SpireWorld } from './support/spire-world.ts'

describe('federation with a real SPIRE', function () {
  this.timeout(180_000)

  let world: SpireWorld | undefined

  before(async function () {
    world = await SpireWorld.start(requireSpire(this))
  })

  afterEach(function () {
    world?.cluster.printLogsIfFailed(this)
  })

  after(() => world?.close())

  federationRows(() => started())

  function started(): SpireWorld {
    if (world === undefined) throw new TypeError('SPIRE was not started')
    return world
  }
})
