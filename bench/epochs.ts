/**
 * What a change of trust costs while many connections live: `npx tsx bench/epochs.ts [connections] [callers]`, after
 * `npm run build`. Idle mTLS connections of so many distinct certificates, half of our own trust domain and half of a federated
 * one, each with one request answered, are judged again by the built program: once when a CA enters the bundle and everyone
 * is kept, once when the federation ends and half of them are ended. Prints the longest pause of its event loop (DESIGN.md
 * 13: at most 50 ms) beside that of a window in which nothing happened, and memory per connection (at most 60 KiB).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { MintedCertificate } from '../src/dev/dev-agent.ts'
import { Mesh } from '../test/e2e/support/mesh.ts'
import type { PosternProcess } from '../test/support/postern-process.ts'
import type { CallersReport, CallersTask } from './epochs/callers.ts'

const pauseBoundMs = 50
const memoryBoundKiB = 60
const quietMs = 3_000

async function main([connections = '10000', callers = '1000']: readonly string[]): Promise<void> {
  await using mesh = await Mesh.start({
    products: { all: { callers: domains.map((trustDomain) => ({ trustDomain })) } },
    inbound: { limits: { maxConnections: 100_000, idleTimeout: '1h' } },
    config: { audit: { file: '/dev/null' } },
    env: { NODE_OPTIONS: `--import=${new URL('epochs/loop-delay.mjs', import.meta.url).href}` },
  })
  mesh.workload.answerWith((_request, response) => response.end())
  const { postern } = mesh
  giveItTheMachine(postern)
  const before = await nextWindow(postern)
  const open = await openConnections(mesh, Number(connections), Number(callers))
  const after = await nextWindow(postern)
  printMemory(open.count, before, after)

  await sleep(quietMs)
  printWindow('nothing happens', await nextWindow(postern))
  await measure(postern, open.count, 'a CA is added, all are kept', () =>
    mesh.agent.prepareCa('corp.example'),
  )
  await measure(postern, open.count, 'a federation ends, half are ended', () =>
    mesh.agent.defederate('corp.example', 'partner-a.example'),
  )
  open.child.kill()
}

const domains = ['corp.example', 'partner-a.example'] as const

/** What the program under test says about itself since it was asked last. */
interface Window {
  readonly longestPauseMs: number
  readonly p99PauseMs: number
  readonly cpuMs: number
  readonly residentBytes: number
}

async function nextWindow(postern: PosternProcess): Promise<Window> {
  const seen = postern.logs.length
  postern.signal('SIGUSR2')
  return (await postern.logged('loop delay', seen)) as unknown as Window
}

/** Other programs of the machine would count as its pauses. Linux knows a priority for each thread, and the collector has several. */
function giveItTheMachine({ pid }: PosternProcess): void {
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), -20)
  } catch {
    console.log('without the right to raise its priority: pauses include those that others cause')
  }
}

async function openConnections(
  mesh: Mesh,
  count: number,
  callers: number,
): Promise<{ readonly child: ChildProcess; readonly count: number }> {
  const startedMs = performance.now()
  const task: CallersTask = {
    port: mesh.postern.port,
    connections: count,
    identities: await mintAll(mesh, callers),
  }
  const child = fork(fileURLToPath(new URL('epochs/callers.ts', import.meta.url)))
  child.send(task)
  const [report] = (await once(child, 'message')) as [CallersReport]
  const seconds = Math.round((performance.now() - startedMs) / 1_000)
  console.log(`${report.opened} connections of ${callers} certificates, opened in ${seconds} s`)
  return { child, count: report.opened }
}

async function mintAll(
  { agent }: Mesh,
  count: number,
): Promise<Pick<MintedCertificate, 'certificatePem' | 'privateKeyPem'>[]> {
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
  const judgedMs = performance.now() - startedMs
  const ended = await postern.metric('postern_connections_reevaluated_total', { result: 'ended' })
  await sleep(quietMs)
  printWindow(
    `${what} (${ended} ended, judged in ${Math.round(judgedMs)} ms)`,
    await nextWindow(postern),
  )
}

function printWindow(what: string, { longestPauseMs, p99PauseMs, cpuMs }: Window): void {
  console.log(
    `${what}: longest pause ${longestPauseMs.toFixed(1)} ms (bound ${pauseBoundMs}),` +
      ` 99th percentile ${p99PauseMs.toFixed(1)} ms, ${Math.round(cpuMs)} ms CPU`,
  )
}

function printMemory(connections: number, before: Window, after: Window): void {
  const perConnection = (after.residentBytes - before.residentBytes) / connections / 1_024
  console.log(
    `${perConnection.toFixed(1)} KiB resident per idle connection (bound ${memoryBoundKiB}),` +
      ` ${Math.round(after.residentBytes / 2 ** 20)} MiB in all`,
  )
}

await main(process.argv.slice(2))
