import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { redirectScript } from '../../src/injector/pod/redirect-script.ts'
import { createApiKey } from '../../src/policy/api-key.ts'
import { PosternProcess } from '../support/postern-process.ts'
import { skip, skipMissingTool } from '../support/skip.ts'
import { TestCa } from '../support/test-ca.ts'
import { PodNetwork, podAddresses } from './support/pod-network.ts'
import { hasProgram } from './support/programs.ts'

/** Both that are in use: with nftables behind it, and with the older tables. */
const variants = ['nft', 'legacy'] as const

for (const variant of variants) {
  describe(`a redirected pod (iptables-${variant})`, () => {
    const { key, id, sha256 } = createApiKey(randomBytes, () => false)
    let network: PodNetwork
    let postern: PosternProcess | undefined

    before(async function () {
      if (process.getuid?.() !== 0) skip(this, 'network namespaces need root')
      if (!(await hasProgram('ip', '-V'))) skipMissingTool(this, 'iproute2')
      if (!(await hasProgram('curl', '--version'))) skipMissingTool(this, 'curl')
      if (!(await hasProgram(`iptables-${variant}`, '--version'))) skipMissingTool(this, 'iptables')
      network = await PodNetwork.start().catch((error: unknown) =>
        skip(this, `no network namespaces here: ${String(error)}`),
      )
      const usable = await network.inPod([`iptables-${variant}`, '-t', 'nat', '-S'])
      if (usable.code !== 0) {
        await network.close()
        skip(this, `the kernel has no tables for it: ${usable.stderr.trim()}`)
      }
      postern = await startPostern().catch(async (error: unknown) => {
        await network.close()
        throw error
      })
    })

    after(async () => {
      await postern?.stop()
      if (postern !== undefined) await network.close()
    })

    async function startPostern(): Promise<PosternProcess> {
      const corp = await TestCa.root('corp')
      const leaf = await corp.leaf({ spiffeId: 'spiffe://corp.example/sidecar' })
      const files = { certificate: 'c.pem', key: 'k.pem', bundles: { 'corp.example': 'r.pem' } }
      const one = await PosternProcess.start({
        starter: network.starter,
        until: 'listening',
        files: {
          'c.pem': leaf.pem,
          'k.pem': leaf.keyPem,
          'r.pem': corp.pem,
          'postern.yaml': {
            identity: { files },
            inbound: { listen: '[::]:8443', upstream: '127.0.0.1:8080' },
            apiKeys: 'keys.yaml',
          },
          'products.yaml': { version: 1, products: { reports: { apiKeys: 'accept' } } },
          'keys.yaml': { version: 1, keys: [{ id, sha256, product: 'reports', consumer: 'acme' }] },
        },
      })
      const ready = ['curl', '-sf', 'http://127.0.0.1:9902/readyz']
      await one.until('ready', async () => (await network.inPod(ready)).code === 0)
      return one
    }

    /** What the init container runs, with the tables of this variant. */
    async function redirect(): Promise<void> {
      const tables = ['iptables', 'ip6tables'].map(
        (name) => `${name}() { ${name}-${variant} "$@"; }\n`,
      )
      const variables = ['env', 'POSTERN_REDIRECT_FROM=8080', 'POSTERN_REDIRECT_TO=8443']
      const { code, stderr } = await network.inPod([
        ...variables,
        'sh',
        '-ec',
        tables.join('') + redirectScript,
      ])
      assert.equal(code, 0, stderr)
    }

    const curl = (...args: readonly string[]) => ['curl', '-gsk', '--max-time', '10', ...args]
    const families = [podAddresses.v4, `[${podAddresses.v6}]`]
    const inPlaintext = (host: string, port = 8080) =>
      network.fromOutside(curl(`http://${host}:${port}/`))

    it('was reachable from outside before', async () => {
      for (const host of families) assert.equal((await inPlaintext(host)).stdout, 'workload -')
    })

    describe('once its init container has run', () => {
      before(redirect)

      it('is reached from outside through the sidecar only', async () => {
        for (const host of families) {
          const plain = await inPlaintext(host)
          assert.notEqual(plain.code, 0)
          assert.equal(plain.stdout, '')
          const url = `https://${host}:8080/`
          const withKey = await network.fromOutside(curl('-H', `x-api-key: ${key}`, url))
          assert.equal(withKey.stdout, 'workload reports')
          const without = await network.fromOutside(curl(url))
          assert.match(without.stdout, /"reason":"credential_missing"/)
        }
      })

      it('is itself reached as ever on loopback and its own address, by any user', async () => {
        for (const host of ['127.0.0.1', '[::1]', ...families]) {
          for (const user of [[], ['setpriv', '--reuid=65534', '--clear-groups']]) {
            const { stdout } = await network.inPod([...user, ...curl(`http://${host}:8080/`)])
            assert.equal(stdout, 'workload -', host)
          }
        }
      })

      it('keeps its other ports', async () => {
        for (const host of families)
          assert.equal((await inPlaintext(host, 8081)).stdout, 'workload -')
        const health = await inPlaintext(podAddresses.v4, 9902)
        assert.equal(health.code, 0)
      })

      it('has the same rules when the init container runs again', async () => {
        const before = await rules()
        await redirect()
        assert.deepEqual(await rules(), before)
        assert.ok(before.length > 8, before.join('\n'))
      })

      it('refuses what something else keeps from the redirection', async () => {
        for (const [tables, host] of [
          [`iptables-${variant}`, podAddresses.v4],
          [`ip6tables-${variant}`, `[${podAddresses.v6}]`],
        ] as const) {
          const rule = ['PREROUTING', '-p', 'tcp', '--dport', '8080', '-j', 'CT', '--notrack']
          assert.equal((await network.inPod([tables, '-t', 'raw', '-A', ...rule])).code, 0)
          const { code, stdout } = await inPlaintext(host)
          assert.equal(stdout, '')
          assert.equal(code, 7, 'connection refused')
          assert.equal((await network.inPod([tables, '-t', 'raw', '-D', ...rule])).code, 0)
        }
      })
    })

    async function rules(): Promise<string[]> {
      const saved = await Promise.all(
        ['iptables', 'ip6tables'].map((tables) => network.inPod([`${tables}-${variant}-save`])),
      )
      return saved.flatMap(({ stdout }) =>
        stdout.split('\n').filter((line) => line.startsWith('-A')),
      )
    }
  })
}
