import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { temporaryDirectory } from '../support/postern-process.ts'
import { skipMissingTool } from '../support/skip.ts'
import { TestCa } from '../support/test-ca.ts'
import { identityOf } from './support/caller.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { assertProblem } from './support/problem.ts'
import {
  curl,
  hasProgram,
  type IdentityFiles,
  type ProgramCall,
  python,
  writeIdentity,
} from './support/programs.ts'

type Options = Omit<ProgramCall, 'version'>

describe('callers on other TLS stacks', () => {
  let mesh: Mesh
  let directory: string
  let svid: IdentityFiles
  let partner: IdentityFiles
  let stranger: IdentityFiles

  before(async () => {
    mesh = await Mesh.start({ keys: { reports: { product: 'reports' } } })
    directory = await temporaryDirectory()
    svid = await writeIdentity(directory, 'svid', await mesh.mint(checkoutId))
    const leaf = await mesh.partnerB.leaf({ subject: '/CN=batch' })
    partner = await writeIdentity(directory, 'partner', identityOf(leaf))
    const unknown = await TestCa.root('stranger')
    const other = await unknown.leaf({ spiffeId: checkoutId })
    stranger = await writeIdentity(directory, 'stranger', identityOf(other))
  })

  after(async () => {
    await mesh.close()
    await rm(directory, { recursive: true, force: true })
  })

  const programs = [
    {
      name: 'curl over http/1.1',
      tool: 'curl',
      call: (options: Options) => curl({ ...options, version: 'http/1.1' }),
    },
    {
      name: 'curl over h2',
      tool: 'curl',
      call: (options: Options) => curl({ ...options, version: 'h2' }),
    },
    { name: 'Python', tool: 'python3', call: python },
  ] as const

  for (const { name, tool, call } of programs) {
    describe(name, () => {
      before(async function () {
        if (!(await hasProgram(tool, '--version'))) skipMissingTool(this, tool)
      })

      it('is served by its SVID', async () => {
        const reply = await call({ port: mesh.postern.port, identity: svid })
        assert.equal(reply.json.headers?.['x-postern-product'], 'checkout')
      })

      it('is served by the certificate of a partner', async () => {
        const reply = await call({ port: mesh.postern.port, identity: partner })
        assert.equal(reply.json.headers?.['x-postern-product'], 'settlement')
        assert.equal(reply.json.headers['x-postern-principal'], 'CN=batch')
      })

      it('is served by an API key', async () => {
        const headers = { 'x-api-key': mesh.key('reports') }
        const reply = await call({ port: mesh.postern.port, headers })
        assert.equal(reply.json.headers?.['x-postern-product'], 'reports')
      })

      it('gets a clean denial without a credential', async () => {
        assertProblem(await call({ port: mesh.postern.port }), 401, 'credential_missing')
      })

      it('gets a clean denial for a certificate that proves nothing', async () => {
        const headers = { 'x-api-key': mesh.key('reports') }
        const reply = await call({ port: mesh.postern.port, identity: stranger, headers })
        assertProblem(reply, 403, 'issuer_unknown')
      })
    })
  }
})
