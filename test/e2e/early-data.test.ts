import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../support/postern-process.ts'
import { skipMissingTool } from '../support/skip.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { EarlyDataServer, invitingSession } from './support/openssl-early-data.ts'
import { hasProgram, type IdentityFiles, runProgram, writeIdentity } from './support/programs.ts'

const request = (path: string) =>
  `GET ${path} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n`

/** The client of OpenSSL, which sends early data where a session says that it may: ours never does, so it is made to. */
describe('early data of OpenSSL', function () {
  this.timeout(60_000)
  let mesh: Mesh
  let directory: string
  let svid: IdentityFiles
  let server: EarlyDataServer

  before(async function () {
    if (!(await hasProgram('openssl', 'version'))) skipMissingTool(this, 'openssl')
    directory = await temporaryDirectory()
    mesh = await Mesh.start()
    svid = await writeIdentity(directory, 'svid', await mesh.mint(checkoutId))
    server = await EarlyDataServer.start(svid)
  })

  after(async () => {
    await server.close()
    await mesh.close()
    await rm(directory, { recursive: true, force: true })
  })

  const file = (name: string) => join(directory, name)

  /** One connection with one request after the handshake; what OpenSSL said of it. */
  async function call(path: string, ...args: readonly string[]): Promise<string> {
    const connection = ['-connect', `127.0.0.1:${mesh.postern.port}`, '-tls1_3', '-ign_eof']
    const { stdout, stderr } = await runProgram('openssl', ['s_client', ...connection, ...args], {
      input: request(path),
    })
    return stdout + stderr
  }

  const withSvid = () => ['-cert', svid.certificate, '-key', svid.key]

  /** The session of a whole handshake with us. */
  async function ownSession(...args: readonly string[]): Promise<string> {
    const session = file('own.session')
    await rm(session, { force: true })
    assert.match(await call('/for-a-session', ...args, '-sess_out', session), /^New, TLSv1.3/m)
    return session
  }

  async function early(path: string): Promise<string> {
    await writeFile(file('early'), request(path))
    return file('early')
  }

  /** What followed the handshake was decided on, what came before it never was; and nobody's session was resumed. */
  async function assertHandled(late: string): Promise<void> {
    const decided = () =>
      mesh.postern.audit.map((line) => (line['request'] as { readonly path: string }).path)
    await mesh.postern.until('audited', () => decided().includes(late))
    const reached = mesh.workload.seen.map(({ url }) => url)
    assert.ok(![...decided(), ...reached].includes('/early'))
    assert.equal(await mesh.postern.metric('postern_handshakes_total', { result: 'resumed' }), 0)
  }

  it('is invited by no session of ours, so that none is sent', async () => {
    const session = await ownSession(...withSvid())
    const args = ['-sess_in', session, '-early_data', await early('/early')]
    const output = await call('/late', ...withSvid(), ...args)
    assert.match(output, /^Early data was not sent$/m)
    assert.match(output, /^New, TLSv1.3/m)
    assert.match(output, /"x-postern-product":"checkout"/)
    await assertHandled('/late')
  })

  const sessions = [
    { name: 'a session of ours, made to invite it', session: () => ownSession(...withSvid()) },
    { name: 'a session of another server', session: () => server.session(file('other.session')) },
  ]
  const callers = [
    { who: 'with an SVID', args: withSvid, answer: /"x-postern-product":"checkout"/ },
    { who: 'without a certificate', args: () => [], answer: /"reason":"credential_missing"/ },
  ]
  for (const { name, session } of sessions) {
    for (const { who, args, answer } of callers) {
      it(`with ${name}, of a caller ${who}, is never read; what follows a new handshake is`, async () => {
        const inviting = file('inviting.session')
        await writeFile(inviting, invitingSession(await readFile(await session(), 'utf8')))
        const late = `/late/${encodeURIComponent(`${name} ${who}`)}`
        const output = await call(
          late,
          ...args(),
          ...['-sess_in', inviting, '-early_data', await early('/early')],
        )
        assert.match(output, /^Early data was rejected$/m)
        assert.match(output, /^New, TLSv1.3/m)
        assert.match(output, answer)
        await assertHandled(late)
      })
    }
  }

  it('would be noticed, because a server that takes it gets it by the same session', async () => {
    const session = await server.session(file('taken.session'))
    const output = await server.call(session, await early('/taken'))
    assert.match(output, /^Early data was accepted$/m)
    assert.match(output, /^Reused, TLSv1.3/m)
    await server.said(/^GET \/taken HTTP\/1\.1/m)
  })
})
