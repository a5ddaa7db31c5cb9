/**
 * What a change of trust costs while many connections live, and what an idle connection costs: `npm run bench -- epochs`
 * (`-- [connections] [certificates]`). Idle mTLS connections of so many distinct certificates, half of our own trust domain
 * and half of a federated one, each with one request answered, are judged again by the built program: when the product map
 * changes and when a CA enters the bundle, and everyone is kept; then when the federation ends, and half of them are ended.
 * Prints the pauses of its event loop (DESIGN.md 13: at most 50 ms) beside those of a window in which nothing happened, and
 * resident memory per idle connection (at most 60 KiB with mTLS, 20 KiB in plaintext). On a busy machine the pauses without
 * waits for a CPU tell more.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Mesh, type MeshOptions } from '../test/e2e/support/mesh.ts'
import type { PosternProcess } from '../test/support/postern-process.ts'
import { nextWindow, type Window, windowEnvironment } from '../test/support/window.ts'
import type { CallersReport, CallersTask } from './epochs/callers.ts'

const pauseBoundMs = 50
const memoryBoundKiB = { mTLS: 60, plaintext: 20 }
const quietMs = 3_000
/** The longest pause of one round may be somebody else's; that of all of them is ours. */
const keptRounds = 5

async function main([connections = '10000', certificates = '1000']: string[]): Promise<void> {
  await measurePlaintext(Number(connections))
  await measureEpochs(Number(connections), Number(certificates))
}

async function measurePlaintext(connections: number): Promise<void> {
  await using mesh = await startMesh({
    inbound: { plaintext: 'allow', limits },
    products: { all: { apiKeys: 'accept' } },
    keys: { caller: { product: 'all' } },
  })
  const task = { identities: [], headers: { 'x-api-key': mesh.key('caller') } }
  const child = await openIdle(mesh, 'plaintext', { connections, ...task })
  child.kill()
}

async function measureEpochs(connections: number, certificates: number): Promise<void> {
  const callers = domains.map((trustDomain) => ({ trustDomain }))
  await using mesh = await startMesh({ inbound: { limits }, products: { all: { callers } } })
  const identities = await mintAll(mesh, certificates)
  const child = await openIdle(mesh, 'mTLS', { connections, identities, headers: {} })
  const { postern, agent } = mesh
  await sleep(quietMs)
  printWindow('nothing happens', await nextWindow(postern))
  for (let round = 0; round < keptRounds; round++) {
    const other = { [`other-${round}`]: { apiKeys: 'accept' } }
    await measure(postern, connections, 'the product map changes, all are kept', () =>
      postern.write({ 'products.yaml': mesh.products({ all: { callers }, ...other }) }),
    )
  }
  await measure(postern, connections, 'a CA is added, all are kept', () =>
    agent.prepareCa('corp.example'),
  )
  await measure(postern, connections, 'a federation ends, half are ended', () =>
    agent.defederate('corp.example', 'partner-a.example'),
  )
  child.kill()
}

const domains = ['corp.example', 'partner-a.example'] as const
const limits = { maxConnections: 100_000, maxConnectionsPerAddress: 100_000, idleTimeout: '1h' }

async function startMesh(options: MeshOptions): Promise<Mesh> {
  const mesh = await Mesh.start({
    config: { audit: { file: '/dev/null' } },
    env: windowEnvironment,
    ...options,
  })
  mesh.workload.answerWith((_request, response) => response.end())
  giveItTheMachine(mesh.postern)
  return mesh
}

/** Other programs of the machine would count as its pauses. Linux knows a priority for each thread, and the collector has several. */
function giveItTheMachine({ pid }: PosternProcess): void {
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), -20)
  } catch {
    console.log('without the right to raise its priority: pauses include those that others cause')
  }
}

/** Opens connections and prints what each costs; whoever called this ends the child that holds them. */
async function openIdle(
  { postern }: Mesh,
  kind: 'mTLS' | 'plaintext',
  task: Omit<CallersTask, 'port'>,
): Promise<ChildProcess> {
  const before = await nextWindow(postern)
  const startedMs = performance.now()
  const child = fork(fileURLToPath(new URL('epochs/callers.ts', import.meta.url)))
  child.send({ port: postern.port, ...task })
  const lost = once(child, 'exit').then(() => Promise.reject(new Error('the callers have ended')))
  const [{ opened }] = (await Promise.race([once(child, 'message'), lost])) as [CallersReport]
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  const after = await nextWindow(postern)
  const perConnection = (after.residentBytes - before.residentBytes) / opened / 1_024
  console.log(
    `${kind}: ${opened} idle connections, opened in ${seconds} s: ${perConnection.toFixed(1)} KiB resident each` +
      ` (bound ${memoryBoundKiB[kind]}), ${Math.round(after.residentBytes / 2 ** 20)} MiB in all`,
  )
  return child
}

async function mintAll({ agent }: Mesh, count: number): Promise<CallersTask['identities']> {
  const identities = []
  for (let i = 0; i < count; i++) {
    const trustDomain = domains[i % 2] ?? 'corp.example'
    const spiffeId = `spiffe://${trustDomain}/caller/${i}`
    const { certificatePem, privateKeyPem } = await agent.mint({ trustDomain, spiffeId })
    identities.push({ certificatePem, privateKeyPem })
  }
  return identities
}

async function measure(
  postern: PosternProcess,
  connections: number,
  what: string,
  change: () => Promise<void>,
): Promise<void> {
  const judged = () => postern.metric('postern_connections_reevaluated_total')
  const before = await judged()
  const startedMs = performance.now()
  await change()
  await postern.until(
    'all are judged',
    async () => (await judged()) === before + connections,
    60_000,
  )
  const judgedMs = Math.round(performance.now() - startedMs)
  const ended = await postern.metric('postern_connections_reevaluated_total', { result: 'ended' })
  await sleep(quietMs)
  printWindow(`${what} (${ended} ended, judged in ${judgedMs} ms)`, await nextWindow(postern))
}

function printWindow(what: string, window: Window): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`
  console.log(
    `${what}: longest pause ${ms(window.longestPauseMs)}, without waits for a CPU ${ms(window.longestOwnPauseMs)}` +
      ` (bound ${pauseBoundMs} ms), longest collection ${ms(window.longestCollectionMs)}, 99th percentile ${ms(window.p99PauseMs)}, ${Math.round(window.cpuMs)} ms CPU`,
  )
}

await main(process.argv.slice(2))
