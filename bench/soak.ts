/**
 * Half load for a long time: `npm run soak -- --minutes 30`. Callers of every kind, on connections that stay and that come and go;
 * SVIDs that rotate, files that change, a workload that fails now and then. Prints the sidecar's heap and resident memory, event-loop
 * pauses and handles as it goes. Exit code 1 when a request failed that the workload did not fail, or when memory or handles
 * grew after the first five minutes (in a shorter run: after its first third).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { checkoutId, Mesh, threeCallers } from '../test/e2e/support/mesh.ts'
import { nextWindow, windowEnvironment } from '../test/support/window.ts'
import { Crew } from './soak/crew.ts'
import { grown, type Sample } from './soak/growth.ts'
import { UnreliableWorkload } from './soak/unreliable-workload.ts'

const minuteMs = 60_000
const samplesPerRun = 40
const reloadEveryMs = 3_000
const restartEveryMs = 20_000
const calibrationMs = 5_000
/** Ours; it is renewed at half of it. */
const svidTtlMs = 20_000
const callerTtlMs = 24 * 60 * minuteMs

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '30' } } })
process.exitCode = await main(Number(values.minutes) * minuteMs)

async function main(runMs: number): Promise<number> {
  const workload = await UnreliableWorkload.start()
  await using mesh = await Mesh.start({
    svidTtlMs,
    keys: { one: { product: 'reports' } },
    inbound: { upstream: workload.address },
    config: { audit: { file: '/dev/null' } },
    env: windowEnvironment,
  })
  const crew = new Crew({
    callers: await callersOf(mesh),
    steady: 4,
    isWorkloadToBlame: () => workload.isToBlame,
  })
  crew.start()
  const callsPerSecond = await halfLoad(crew)
  console.log(`half load: ${callsPerSecond.toFixed(0)} calls/s`)
  const over = new AbortController()
  const disturbances = Promise.all([
    every(reloadEveryMs, over.signal, (count) => mesh.postern.write(products(mesh, count))),
    every(restartEveryMs, over.signal, () => workload.restart()),
  ])
  const samples = await observe(mesh, crew, runMs)
  over.abort()
  await disturbances
  await crew.finish()
  await workload.close()
  return verdict(samples, crew, mesh)
}

async function callersOf(mesh: Mesh) {
  return [
    await mesh.svidCaller(checkoutId, callerTtlMs),
    await mesh.svidCaller('spiffe://partner-a.example/shop', callerTtlMs),
    await mesh.partnerBCaller(),
    mesh.keyCaller('one'),
  ]
}

/** Finds out how many calls there can be, and halves it. */
async function halfLoad(crew: Crew): Promise<number> {
  await sleep(calibrationMs)
  const before = crew.tally.calls
  await sleep(calibrationMs)
  const callsPerSecond = ((crew.tally.calls - before) / calibrationMs) * 500
  crew.pace(callsPerSecond)
  return callsPerSecond
}

/** Another text for people, and so another epoch; nobody's answer changes. */
function products(mesh: Mesh, count: number): Record<string, string> {
  const reports = { ...threeCallers.reports, description: `written ${count} times` }
  return { 'products.yaml': stringify(mesh.products({ ...threeCallers, reports })) }
}

async function every(
  pauseMs: number,
  signal: AbortSignal,
  act: (count: number) => Promise<void>,
): Promise<void> {
  for (let count = 1; ; count++) {
    try {
      await sleep(pauseMs, undefined, { signal })
    } catch {
      return
    }
    await act(count)
  }
}

async function observe(mesh: Mesh, crew: Crew, runMs: number): Promise<Sample[]> {
  const samples: Sample[] = []
  console.log('\n   minute    calls  failed by workload  heap MiB  resident MiB  handles  pause ms')
  for (let i = 1; i <= samplesPerRun; i++) {
    await sleep(runMs / samplesPerRun)
    const sample = { atMs: (i * runMs) / samplesPerRun, ...(await look(mesh)) }
    samples.push(sample)
    print(sample, crew)
  }
  return samples
}

async function look({ postern }: Mesh): Promise<Omit<Sample, 'atMs'>> {
  const { heapBytes, residentBytes, handles, longestPauseMs } = await nextWindow(postern)
  return { heapBytes, residentBytes, handles, pauseMs: longestPauseMs }
}

function print(sample: Sample, { tally }: Crew): void {
  const cells = [
    (sample.atMs / minuteMs).toFixed(1).padStart(9),
    String(tally.calls).padStart(9),
    String(tally.expectedFailures).padStart(20),
    (sample.heapBytes / 2 ** 20).toFixed(1).padStart(10),
    (sample.residentBytes / 2 ** 20).toFixed(1).padStart(14),
    String(sample.handles).padStart(9),
    sample.pauseMs.toFixed(0).padStart(10),
  ]
  console.log(cells.join(''))
}

function verdict(samples: readonly Sample[], { tally }: Crew, mesh: Mesh): number {
  const faults = [
    ...tally.unexpected,
    ...grown(samples),
    ...(mesh.postern.output.includes('MaxListenersExceededWarning') ? ['listeners leak'] : []),
  ]
  console.log(`\n${tally.calls} calls on ${tally.connections} connections`)
  console.log(`${tally.expectedFailures} failed by the workload, as they had to`)
  for (const fault of faults) console.log(`fault: ${fault}`)
  console.log(faults.length === 0 ? 'nothing failed, nothing grew' : `${faults.length} faults`)
  return faults.length === 0 ? 0 : 1
}
