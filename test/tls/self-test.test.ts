import { selfTest } from '../../src/tls/self-test.ts'

describe('selfTest', () => {
  it('passes on this Node.js', async () => {
    await selfTest()
  })
})
