import assert from 'node:assert/strict'
import fc from 'fast-check'
import { NodeServer } from './support/node-server.ts'
import type { NodeRequest } from './support/node-server.ts'
import { Bench } from './support/recorder.ts'
import { clientBytes, mutated } from './support/sessions.ts'

/** What both servers made of one client's bytes. */
interface Outcome {
  readonly ours: Bench
  readonly nodes: ReadonlyMap<number, NodeRequest>
}

describe("the same bytes to our server and to Node's", () => {
  let server: NodeServer

  before(async () => {
    server = await NodeServer.start()
  })

  after(() => server.close())

  async function outcome(bytes: Buffer): Promise<Outcome> {
    const ours = Bench.untouchedServer()
    ours.receive(bytes)
    return { ours, nodes: await server.feed(bytes) }
  }

  it('give the same requests where the bytes are whole', async () => {
    await fc.assert(
      fc.asyncProperty(clientBytes(), async (bytes) => {
        const { ours, nodes } = await outcome(bytes)
        assert.deepEqual([...ours.events.heads.keys()], [...nodes.keys()])
        for (const [id, request] of nodes) assertSame(ours, id, request)
      }),
      { numRuns: 60 },
    )
  })

  it('give the same requests or a named refusal where the bytes are broken', async () => {
    await fc.assert(
      fc.asyncProperty(mutated(clientBytes()), async (bytes) => {
        const { ours, nodes } = await outcome(bytes)
        for (const [id, request] of nodes) {
          if (ours.events.heads.has(id)) assertSame(ours, id, request)
          else assert.ok(isRefused(ours, id), `request ${id} is missing without a rule`)
        }
        for (const id of ours.events.heads.keys())
          assert.ok(nodes.has(id) || isNodeDeaf(ours, id), `Node refuses ${id}`)
      }),
      { numRuns: 300 },
    )
  })
})

function assertSame(ours: Bench, id: number, request: NodeRequest): void {
  const head = ours.events.heads.get(id)
  assert.ok(head !== undefined)
  const { method, scheme, authority, path, fields } = head
  assert.deepEqual({ method, scheme, authority, path, fields }, request)
}

/**
 * Node ends the connection where RFC 9113 ends a stream only (5.1: frames on a stream that the client had ended), and where the
 * client's GOAWAY (6.8) speaks of our streams and not of its own.
 */
function isNodeDeaf(ours: Bench, id: number): boolean {
  const before = ours.log.slice(
    0,
    ours.log.findIndex((line) => line.startsWith(`request ${id} `)),
  )
  return before.some((line) => /^(?:goaway |violation \d+ stream_closed)/.test(line))
}

/** By a rule of the stream, a refusal with a status, or the end of the whole connection. */
function isRefused(ours: Bench, id: number): boolean {
  const isAboutIt = (line: string) =>
    line.startsWith(`violation ${id} `) || line.startsWith(`refused ${id} `)
  return ours.events.faults.length > 0 || ours.log.some(isAboutIt)
}
