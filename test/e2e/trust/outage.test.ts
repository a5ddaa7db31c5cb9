import { EmbeddedWorld } from './support/embedded-world.ts'
import { outageRows } from './support/outage-rows.ts'

describe('outages with the embedded agent', () => {
  let world: EmbeddedWorld

  before(async () => {
    world = await EmbeddedWorld.start()
  })

  after(() => world.close())

  outageRows(() => world)
})
