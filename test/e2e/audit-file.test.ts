import assert from 'node:assert/strict'
import { readFile, rename, stat } from 'node:fs/promises'
import { checkoutId, Mesh } from './support/mesh.ts'

describe('an audit log in a file', () => {
  let mesh: Mesh

  before(async () => {
    mesh = await Mesh.start({ config: { audit: { file: 'audit.log' } } })
  })

  after(() => mesh.close())

  async function idsIn(name: string): Promise<unknown[]> {
    const text = await readFile(mesh.postern.path(name), 'utf8').catch(() => '')
    const lines = text.split('\n').slice(0, -1)
    return lines.map((line) => (JSON.parse(line) as { id: unknown }).id)
  }

  async function decisionId(): Promise<unknown> {
    const reply = await (await mesh.svidCaller(checkoutId)).call()
    return reply.json.headers?.['x-request-id']
  }

  async function isWritten(name: string, id: unknown): Promise<void> {
    await mesh.postern.until(`${String(id)} in ${name}`, async () =>
      (await idsIn(name)).includes(id),
    )
  }

  it('is written line by line, for the owner and its group only', async () => {
    const id = await decisionId()
    await isWritten('audit.log', id)
    assert.equal((await stat(mesh.postern.path('audit.log'))).mode & 0o007, 0)
    assert.deepEqual(mesh.postern.audit, [])
  })

  for (const signal of ['SIGHUP', 'SIGUSR1'] as const) {
    it(`goes on in a new file after it was moved away and ${signal}`, async () => {
      const old = await decisionId()
      await isWritten('audit.log', old)
      await rename(mesh.postern.path('audit.log'), mesh.postern.path('audit.log.1'))
      const between = await decisionId()
      await isWritten('audit.log.1', between)
      mesh.postern.signal(signal)
      await mesh.postern.until('a new file', async () => {
        return stat(mesh.postern.path('audit.log')).then(
          () => true,
          () => false,
        )
      })
      const fresh = await decisionId()
      await isWritten('audit.log', fresh)
      assert.ok(!(await idsIn('audit.log.1')).includes(fresh))
      assert.ok((await idsIn('audit.log.1')).includes(between))
      assert.doesNotMatch(mesh.postern.output, /debugger/i)
    })
  }

  it('holds the last line when the sidecar has ended', async () => {
    const id = await decisionId()
    mesh.postern.signal('SIGTERM')
    assert.equal(await mesh.postern.exited, 0)
    assert.ok((await idsIn('audit.log')).includes(id))
  })
})
