import { EmbeddedWorld } from './support/embedded-world.ts'
import { rotationRows } from './support/rotation-rows.ts'

describe('rotation with the embedded agent', () => {
  let world: EmbeddedWorld

  before(async () => {
    world = await EmbeddedWorld.start()
  })

  after(() => world.close())

  rotationRows(() => world)
})
