import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { serverId, trustDomain } from '../credentials.ts'
import { freePort } from '../pinned-process.ts'
import type { Proxy, ProxySetup } from './proxy.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** The built program of a checkout: this one, or the one of another commit. */
export function postern(name = 'postern', checkout: string = root): Proxy {
  const program = join(checkout, 'dist/bin/postern.js')
  return {
    name,
    configured:
      'optional client certificates judged by its own validator, product map, keys by SHA-256, identity headers, audit log to a file, metrics, traces off, the settings of OpenSSL of the image',
    find: () =>
      Promise.resolve({ command: process.execPath, version: `on Node.js ${process.version}` }),
    cannot: () => undefined,
    async prepare(command, setup) {
      await writeFiles(setup)
      const config = join(setup.directory, 'postern.yaml')
      const logFile = join(setup.directory, 'postern.log')
      // As in the image; older checkouts have none.
      const settings = join(checkout, 'deploy/openssl.cnf')
      const env = existsSync(settings) ? { OPENSSL_CONF: settings } : {}
      return { command, args: [program, 'run', '--config', config], env, logFile }
    },
  }
}

async function writeFiles(setup: ProxySetup): Promise<void> {
  const { directory, credentials, mode, port, upstreamPort } = setup
  const local = (number: number) => `127.0.0.1:${number}`
  const otherPort = async () => local(await freePort())
  const config = {
    identity: {
      files: {
        certificate: credentials.serverCertificate,
        key: credentials.serverKey,
        bundles: { [trustDomain]: credentials.ca },
      },
    },
    inbound: {
      listen: mode === 'outbound' ? await otherPort() : local(port),
      upstream: local(upstreamPort),
      protocol: mode === 'tcp' ? 'tcp' : 'http',
      upstreamProtocol: mode === 'h2c' ? 'h2c' : 'http1',
    },
    ...(mode === 'outbound'
      ? { outbound: [{ listen: local(port), upstream: local(upstreamPort), expect: serverId }] }
      : {}),
    products: 'products.yaml',
    apiKeys: 'api-keys.yaml',
    health: { listen: await otherPort() },
    admin: { listen: await otherPort() },
    audit: { file: join(directory, 'postern-audit.jsonl') },
  }
  const caller = { spiffeId: `spiffe://${trustDomain}/checkout/**` }
  const products = {
    version: 1,
    products: { checkout: { callers: [caller], apiKeys: 'accept' } },
  }
  const key = { ...credentials.apiKeyEntry, product: 'checkout', consumer: 'acme' }
  await writeFile(join(directory, 'postern.yaml'), stringify(config))
  await writeFile(join(directory, 'products.yaml'), stringify(products))
  await writeFile(join(directory, 'api-keys.yaml'), stringify({ version: 1, keys: [key] }))
}
