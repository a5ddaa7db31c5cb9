import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server, type TlsOptions } from 'node:tls'
import { temporaryDirectory } from '../support/postern-process.ts'
import { skipMissingTool } from '../support/skip.ts'
import { TestCa } from '../support/test-ca.ts'
import { checkoutId, Mesh } from './support/mesh.ts'
import { hasProgram, type IdentityFiles, runProgram, writeIdentity } from './support/programs.ts'

const versions = ['tls1_2', 'tls1_3'] as const

/** OpenSSL's client, which does what Node's refuses to. Every negative is also asked of a server that allows it. */
describe('the TLS of the one port', () => {
  let mesh: Mesh
  let directory: string
  let lax: Server
  let svid: IdentityFiles

  before(async function () {
    if (!(await hasProgram('openssl', 'version'))) skipMissingTool(this, 'openssl')
    directory = await temporaryDirectory()
    lax = await startLaxServer()
    mesh = await Mesh.start()
    svid = await writeIdentity(directory, 'svid', await mesh.mint(checkoutId))
  })

  after(async () => {
    await mesh.close()
    lax.close()
    await rm(directory, { recursive: true, force: true })
  })

  /** One connection with one request; the text that OpenSSL printed. */
  async function client(port: number, ...args: readonly string[]): Promise<string> {
    const { stdout, stderr } = await runProgram(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args],
      { input: 'GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n' },
    )
    return stdout + stderr
  }

  const postern = (...args: readonly string[]) => client(mesh.postern.port, ...args)
  const other = (...args: readonly string[]) => client((lax.address() as AddressInfo).port, ...args)

  for (const version of versions) {
    it(`speaks ${version}`, async () => {
      const output = await postern(`-${version}`)
      assert.match(output, new RegExp(`^New, ${version.replace('tls1_', 'TLSv1.')}, `, 'm'))
      assert.match(output, /"reason":"credential_missing"/)
    })

    it(`resumes no session of ${version}, whoever presents it`, async () => {
      const certificate = ['-cert', svid.certificate, '-key', svid.key]
      const session = join(directory, `${version}.session`)
      const first = await postern(`-${version}`, ...certificate, '-sess_out', session)
      assert.match(first, /"x-postern-product":"checkout"/)
      const again = await postern(`-${version}`, ...certificate, '-sess_in', session)
      assert.match(again, /^New, TLS/m)
      assert.match(again, /"x-postern-product":"checkout"/)
      const stolen = await postern(`-${version}`, '-sess_in', session)
      assert.match(stolen, /^New, TLS/m)
      assert.match(stolen, /"reason":"credential_missing"/)
    })

    it(`would notice a session of ${version} that resumes`, async () => {
      const session = join(directory, `${version}-lax.session`)
      assert.match(await other(`-${version}`, '-sess_out', session), /^New, TLS/m)
      assert.match(await other(`-${version}`, '-sess_in', session), /^Reused, TLS/m)
    })
  }

  it('resumes none of five connections in a row in TLS 1.2', async () => {
    const reconnect = (port: number) => client(port, '-tls1_2', '-reconnect')
    const output = await reconnect(mesh.postern.port)
    assert.equal(output.match(/^New, TLSv1.2/gm)?.length, 6)
    assert.doesNotMatch(output, /^Reused/m)
    assert.match(await reconnect((lax.address() as AddressInfo).port), /^Reused, TLSv1.2/m)
  })

  it('refuses TLS 1.1', async () => {
    const old = ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'] as const
    assert.match(await postern(...old), /alert protocol version/)
    assert.match(await other(...old), /^New, TLSv1.0, /m)
  })

  it('refuses cipher suites without authenticated encryption', async () => {
    const weak = ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA'] as const
    assert.match(await postern(...weak), /alert handshake failure/)
    assert.match(await other(...weak), /^New, TLSv1.0, Cipher is ECDHE-ECDSA-AES128-SHA$/m)
  })

  it('refuses renegotiation', async () => {
    const renegotiate = (port: number) =>
      runProgram('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2'], {
        input: 'R\n',
      })
    const refused = await renegotiate(mesh.postern.port)
    assert.match(refused.stderr, /RENEGOTIATING\n.*no renegotiation/)
    const allowed = await renegotiate((lax.address() as AddressInfo).port)
    assert.match(allowed.stderr, /RENEGOTIATING\n/)
    assert.doesNotMatch(allowed.stderr, /no renegotiation/)
  })

  it('asks for a certificate and names no CA to strangers', async () => {
    const output = await postern('-tls1_3')
    assert.match(output, /^Requested Signature Algorithms: /m)
    assert.match(output, /^No client certificate CA names sent$/m)
  })

  it('agrees on h2, on http/1.1, and on the best of several', async () => {
    assert.match(await postern('-alpn', 'h2'), /^ALPN protocol: h2$/m)
    assert.match(await postern('-alpn', 'http/1.1'), /^ALPN protocol: http\/1.1$/m)
    assert.match(await postern('-alpn', 'foo,http/1.1,h2'), /^ALPN protocol: h2$/m)
  })

  it('speaks HTTP/1.1 without ALPN', async () => {
    const output = await postern('-tls1_3')
    assert.match(output, /^No ALPN negotiated$/m)
    assert.match(output, /^HTTP\/1.1 401 /m)
  })

  it('refuses a protocol that it does not know', async () => {
    assert.match(await postern('-alpn', 'foo'), /alert no application protocol/)
  })

  it('counts handshakes by how they went', async () => {
    const count = (result: string) => mesh.postern.metric('postern_handshakes_total', { result })
    const before = [await count('certificate'), await count('anonymous'), await count('failed')]
    await postern('-cert', svid.certificate, '-key', svid.key)
    await postern()
    await postern('-alpn', 'foo')
    const after = [await count('certificate'), await count('anonymous'), await count('failed')]
    assert.deepEqual(
      after,
      before.map((number) => number + 1),
    )
    assert.equal(await count('resumed'), 0)
  })
})

/** Allows what the sidecar must not. */
async function startLaxServer(): Promise<Server> {
  const leaf = await (await TestCa.root('lax')).leaf({ dnsNames: ['lax.example'] })
  const options: TlsOptions = {
    cert: leaf.pem,
    key: leaf.keyPem,
    minVersion: 'TLSv1',
    ciphers: 'ALL:@SECLEVEL=0',
  }
  const server = createServer(options, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}
