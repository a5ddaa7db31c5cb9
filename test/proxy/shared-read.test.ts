import assert from 'node:assert/strict'
import { sharedRead } from '../../src/proxy/shared-read.ts'

describe('memory that sockets share for reading', () => {
  it('gives each reader bytes of its own, whatever another one reads afterwards', () => {
    const chunks: Buffer[] = []
    const [one, other] = [
      sharedRead((chunk) => chunks.push(chunk)),
      sharedRead((chunk) => chunks.push(chunk)),
    ]
    read(one, 'of the first')
    read(other, 'of the other')
    assert.deepEqual(chunks.map(String), ['of the first', 'of the other'])
  })
})

/** As a socket does: into the memory that it was given, then the call. */
function read(options: ReturnType<typeof sharedRead>, text: string): void {
  const { buffer } = options
  assert.ok(buffer instanceof Uint8Array)
  const bytes = Buffer.from(text)
  buffer.set(bytes)
  assert.equal(options.callback(bytes.length, buffer), true)
}
