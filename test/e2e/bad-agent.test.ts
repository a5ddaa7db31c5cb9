import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { unlink, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import type { X509SVIDResponse } from '../../src/workload-api/generated/workload.ts'
import { FakeAgent } from '../workload-api/support/fake-agent.ts'
import { checkoutId, Mesh, sidecarId } from './support/mesh.ts'

/** Stands where the agent's socket should be. */
interface Impostor {
  /** Resolves when the sidecar has knocked. */
  readonly visited: Promise<unknown>
  leave(): Promise<void>
}

const impostors: readonly { name: string; stand: (path: string) => Promise<Impostor> }[] = [
  { name: 'is a regular file', stand: standAsFile },
  { name: 'accepts and says nothing', stand: (path) => standAsServer(path, () => undefined) },
  { name: 'ends every connection', stand: (path) => standAsServer(path, (socket) => socket.end()) },
  { name: 'speaks HTTP/1.1', stand: (path) => standAsServer(path, answerInHttp1) },
  { name: 'sends garbage without end', stand: (path) => standAsServer(path, flood) },
]

describe('a Workload API socket that is none', () => {
  for (const { name, stand } of impostors) {
    it(`is waited out when it ${name}`, async () => {
      await using mesh = await Mesh.prepare({ withoutAgent: true })
      const impostor = await stand(mesh.socketPath)
      const postern = await mesh.startPostern()
      await impostor.visited
      assert.equal(await postern.live(), 200)
      assert.deepEqual(await postern.ready(), { status: 503, missing: ['identity'] })
      assert.ok((await postern.residentBytes()) < 160 * 1024 * 1024)
      await impostor.leave()
      await mesh.startAgent()
      // On a slow machine it has knocked often by now, and waits up to 30 s before it does again.
      await postern.until('ready', async () => (await postern.ready()).status === 200, 60_000)
      const caller = await mesh.svidCaller(checkoutId)
      assert.equal((await caller.call()).status, 200)
    })
  }
})

describe('a Workload API that sends bad messages', () => {
  it('changes nothing: the last good identity serves on', async () => {
    await using mesh = await Mesh.prepare({ withoutAgent: true })
    const agent = await FakeAgent.start(mesh.socketPath)
    try {
      const postern = await mesh.startPostern()
      const call = await agent.call(0)
      call.send(await goodMessage(mesh))
      await postern.until('ready', async () => (await postern.ready()).status === 200)
      const [one, other] = [await goodMessage(mesh), await goodMessage(mesh)]
      for (const bad of [randomBytes(10_000), { ...one, svids: [] }, withKeyOf(other, one)]) {
        const before = await postern.metric('postern_identity_updates_total', {
          result: 'rejected',
        })
        call.send(bad)
        await postern.until('rejected', async () => {
          const result = { result: 'rejected' }
          return (await postern.metric('postern_identity_updates_total', result)) === before + 1
        })
        assert.equal((await postern.ready()).status, 200)
        assert.equal((await (await mesh.svidCaller(checkoutId)).call()).status, 200)
      }
    } finally {
      await agent.kill()
    }
  })
})

async function goodMessage(mesh: Mesh): Promise<X509SVIDResponse> {
  const minted = await mesh.agent.mint({ trustDomain: 'corp.example', spiffeId: sidecarId })
  const bundle = new X509Certificate(mesh.agent.bundlePem('corp.example')).raw
  const svid = {
    spiffeId: sidecarId,
    x509Svid: Buffer.concat(minted.certificates),
    x509SvidKey: minted.privateKeyDer,
    bundle,
    hint: '',
  }
  return { svids: [svid], crl: [], federatedBundles: new Map() }
}

/** The key belongs to another certificate. */
function withKeyOf(other: X509SVIDResponse, message: X509SVIDResponse): X509SVIDResponse {
  const [svid] = message.svids
  return { ...message, svids: [{ ...svid!, x509SvidKey: other.svids[0]!.x509SvidKey }] }
}

async function standAsFile(path: string): Promise<Impostor> {
  await writeFile(path, 'no socket')
  return { visited: Promise.resolve(), leave: () => unlink(path) }
}

async function standAsServer(path: string, onSocket: (socket: Socket) => void): Promise<Impostor> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.resume()
    onSocket(socket)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    visited: once(server, 'connection'),
    leave: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function answerInHttp1(socket: Socket): void {
  socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
}

const garbage = Buffer.alloc(64 * 1024, 'postern')

function flood(socket: Socket): void {
  const write = () => {
    while (!socket.destroyed && socket.write(garbage));
  }
  socket.on('drain', write)
  write()
}
