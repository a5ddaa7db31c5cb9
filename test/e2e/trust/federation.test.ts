import { EmbeddedWorld } from './support/embedded-world.ts'
import { federationRows } from './support/federation-rows.ts'

describe('federation with the embedded agent', () => {
  let world: EmbeddedWorld

  before(async () => {
    world = await EmbeddedWorld.start()
  })

  after(() => world.close())

  federationRows(() => world)
})
