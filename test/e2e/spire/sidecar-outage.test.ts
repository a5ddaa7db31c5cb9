import { requireSpire } from '../../support/spire.ts'
import { outageRows } from '../trust/support/outage-rows.ts'
import { SpireWorld } from './support/spire-world.ts'

describe('outages with a real SPIRE', function () {
  this.timeout(180_000)

  let world: SpireWorld | undefined

  before(async function () {
    world = await SpireWorld.start(requireSpire(this))
  })

  afterEach(function () {
    world?.cluster.printLogsIfFailed(this)
  })

  after(() => world?.close())

  outageRows(() => started())

  function started(): SpireWorld {
    if (world === undefined) throw new TypeError('SPIRE was not started')
    return world
  }
})
