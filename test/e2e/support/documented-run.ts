import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { stringify } from 'yaml'
import { identityOf } from './caller.ts'
import { checkoutId, Mesh } from './mesh.ts'
import { runProgram } from './programs.ts'

const program = fileURLToPath(new URL('../../../dist/bin/postern.js', import.meta.url))

const dayMs = 86_400_000

/** A day in so many days. */
function dayIn(days: number): string {
  return new Date(Date.now() + days * dayMs).toISOString().slice(0, 10)
}

const productsUntil = (untilDate: string) => ({
  checkout: { callers: [{ spiffeId: 'spiffe://corp.example/checkout/**' }] },
  payments: { callers: [{ trustDomain: 'partner-a.example' }] },
  settlement: { callers: [{ authority: 'partner-b' }] },
  reports: {
    apiKeys: 'accept',
    apiKeysUntil: untilDate,
    requests: [{ methods: ['GET'], paths: ['/v1/reports/**'] }],
  },
})

/**
 * Everything that docs/observability.md shows of the command line, by the names of its places there: one run of the built
 * program with a workload that is allowed, one that nobody mapped, and two customers with keys, of whom one never came. Each
 * is the command, what it printed to stdout, and its exit code where that is not 0.
 */
export async function runDocumented(): Promise<ReadonlyMap<string, string>> {
  for (;;) {
    const untilDate = dayIn(90)
    const outputs = await runUntil(untilDate)
    // It says how many days there are until then: at midnight the count is another.
    if (dayIn(90) === untilDate) return outputs
  }
}

async function runUntil(untilDate: string): Promise<ReadonlyMap<string, string>> {
  const products = productsUntil(untilDate)
  await using mesh = await Mesh.start({
    products,
    keys: {
      acme: { product: 'reports', consumer: 'acme' },
      globex: { product: 'reports', consumer: 'globex' },
    },
    config: { audit: { file: 'audit.jsonl' }, state: { directory: 'state' } },
  })
  await (await mesh.svidCaller(checkoutId)).call({ path: '/v1/orders/7' })
  const stranger = await mesh.svidCaller('spiffe://corp.example/stranger')
  const { json: denied } = await stranger.call({ path: '/v1/orders' })
  await mesh.keyCaller('acme').call({ path: '/v1/reports/today' })
  await writeFiles(mesh, products)
  const { postern } = mesh
  await postern.until('the audit log', async () => (await auditLines(mesh)) === 3)

  const decisionId = String(denied.decision_id)
  const keyId = mesh.keys['acme']!.id
  const byKey = ['explain', '--api-key-id', keyId, '--method', 'POST', '--path', '/v1/reports/9']
  const commands: Readonly<Record<string, readonly string[]>> = {
    'explain-id': ['explain', decisionId],
    'explain-cert': ['explain', '--cert', 'forged.pem', '--path', '/v1/orders/7'],
    'explain-key': byKey,
    'explain-json': [...byKey, '-o', 'json'],
    replay: ['replay', '--audit', 'audit.jsonl', '--products', 'new.yaml'],
    migration: ['migration'],
    check: ['check', '--live'],
  }
  const outputs = new Map<string, string>()
  const stable = stableNames(mesh, untilDate)
  for (const [name, args] of Object.entries(commands)) {
    const { text, code } = await run(mesh, args)
    const form = name === 'explain-json' ? await forTheEye(text) : text
    const end = code === 0 ? '' : `$ echo $?\n${code}\n`
    outputs.set(name, stable(`$ postern ${args.join(' ')}\n${form}${end}`))
  }
  return outputs
}

async function writeFiles(mesh: Mesh, products: object): Promise<void> {
  const batch = { callers: [{ spiffeId: 'spiffe://corp.example/checkout/batch' }] }
  const forged = identityOf(await mesh.partnerB.leaf({ spiffeId: checkoutId }))
  const files = { 'forged.pem': forged.certificatePem }
  await mesh.postern.write({
    ...files,
    'new.yaml': stringify(mesh.products({ ...products, checkout: batch })),
  })
}

async function auditLines({ postern }: Mesh): Promise<number> {
  return (await readFile(postern.path('audit.jsonl'), 'utf8')).split('\n').length - 1
}

/** In the directory of the sidecar's files, with the ports that it has bound. */
async function run(
  { postern }: Mesh,
  args: readonly string[],
): Promise<{ text: string; code: number }> {
  const env = {
    POSTERN_INBOUND_LISTEN: `127.0.0.1:${postern.port}`,
    POSTERN_ADMIN_LISTEN: `127.0.0.1:${postern.adminPort}`,
    POSTERN_HEALTH_LISTEN: `127.0.0.1:${postern.healthPort}`,
  }
  const options = { cwd: postern.directory, env }
  const { code, stdout } = await runProgram(process.execPath, [program, ...args], options)
  return { code, text: Buffer.from(stdout, 'latin1').toString() }
}

/** The JSON of one line on several: what fits on a line stays on it. */
function forTheEye(text: string): Promise<string> {
  return format(text, { parser: 'json', printWidth: 120 })
}

const startMs = Date.parse('2026-11-27T10:00:00.000Z')
const hourMs = 3_600_000

/** Puts what differs from run to run into a form that does not: names that are drawn, ports, paths, and times to the hour. */
function stableNames(mesh: Mesh, untilDate: string): (text: string) => string {
  const nowMs = Date.now()
  const { postern } = mesh
  const digests = new Map<string, string>()
  const drawn = (digest: string) => {
    const made = createHash('sha256').update(`certificate ${digests.size}`).digest('hex')
    digests.set(digest, made.slice(0, 16))
    return made.slice(0, 16)
  }
  const names: readonly [string, string][] = [
    [`unix://${mesh.socketPath}`, 'unix:///run/spire/sockets/agent.sock'],
    [`${postern.directory}/`, ''],
    [mesh.keys['acme']!.id, 'k_8f3a2c91'],
    [mesh.keys['globex']!.id, 'k_51d07e6b'],
    [untilDate, '2027-02-25'],
    [mesh.workload.address, '127.0.0.1:8080'],
    [`127.0.0.1:${postern.port}`, '127.0.0.1:8443'],
    [`127.0.0.1:${postern.adminPort}`, '127.0.0.1:9901'],
    [`127.0.0.1:${postern.healthPort}`, '127.0.0.1:9902'],
  ]
  return (text) =>
    names
      .reduce((all, [from, to]) => all.replaceAll(from, to), text)
      .replace(/\bd_[0-9a-z]+_/g, 'd_oxexqdnosx0a_')
      .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, (time) => {
        const hours = Math.round((Date.parse(time) - nowMs) / hourMs)
        return new Date(startMs + hours * hourMs).toISOString()
      })
      .replace(/(?<=sha256 )[0-9a-f]{16}/g, (digest) => digests.get(digest) ?? drawn(digest))
      .replace(/127\.0\.0\.1 port \d+/g, '127.0.0.1 port 46906')
}
