import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createApiKey } from '../../src/policy/api-key.ts'
import { TestCa } from '../../test/support/test-ca.ts'

/** Files that every proxy and every caller uses: one CA, one SVID for each side (P-256), one API key. */
export interface Credentials {
  readonly ca: string
  readonly serverCertificate: string
  readonly serverKey: string
  /** Certificate and key in one file, as HAProxy wants it. */
  readonly serverPair: string
  readonly clientCertificate: string
  readonly clientKey: string
  readonly clientPair: string
  readonly apiKey: string
  readonly apiKeyEntry: { readonly id: string; readonly sha256: string }
}

export const trustDomain = 'corp.example'
/** For neighbours that look at DNS names only. */
export const serverName = 'sidecar.corp.example'
export const serverId = `spiffe://${trustDomain}/sidecar`
export const clientId = `spiffe://${trustDomain}/checkout/web`

export async function writeCredentials(directory: string): Promise<Credentials> {
  const ca = await TestCa.root(trustDomain)
  const server = await ca.leaf({
    ...{ spiffeId: serverId, subject: '/CN=sidecar', dnsNames: [serverName] },
  })
  const client = await ca.leaf({ spiffeId: clientId, subject: '/CN=checkout' })
  const { key, id, sha256 } = createApiKey(randomBytes)
  const write = async (name: string, text: string) => {
    const file = join(directory, name)
    await writeFile(file, text, { mode: 0o600 })
    return file
  }
  return {
    ca: await write('ca.pem', ca.pem),
    serverCertificate: await write('server.pem', server.pem),
    serverKey: await write('server-key.pem', server.keyPem),
    serverPair: await write('server-pair.pem', server.pem + server.keyPem),
    clientCertificate: await write('client.pem', client.pem),
    clientKey: await write('client-key.pem', client.keyPem),
    clientPair: await write('client-pair.pem', client.pem + client.keyPem),
    apiKey: key,
    apiKeyEntry: { id, sha256 },
  }
}
