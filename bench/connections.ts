/**
 * What a request costs beside more and more connections: `npm run bench -- connections` (`-- [requests per second]`). For each number
 * of mTLS connections the built program is started anew, all of them are opened, and then requests at one and the same rate are
 * spread over them. Printed are CPU time by request once all are open, and resident memory. Linux with two CPUs.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { type Credentials, writeCredentials } from './neighbours/credentials.ts'
import { drive } from './neighbours/load.ts'
import { cores, freePort, PinnedProcess } from './neighbours/pinned-process.ts'
import { postern } from './neighbours/proxies/postern.ts'
import type { Load } from './neighbours/scenario.ts'
import { startWorkload } from './neighbours/start-workload.ts'

const counts = [1, 100, 1_000, 10_000]
/** A connection is opened by its first request, at that rate: it must be below what the two cores can shake hands. */
const openingMs = 3
const warmUpSeconds = 10
const measuredSeconds = 5
const limits = {
  POSTERN_INBOUND_LIMITS_MAX_CONNECTIONS: '20000',
  POSTERN_INBOUND_LIMITS_MAX_CONNECTIONS_PER_ADDRESS: '20000',
  POSTERN_INBOUND_LIMITS_MAX_HANDSHAKES: '20000',
}

const ratePerSecond = Number(process.argv[2] ?? '500')
const directory = await mkdtemp(join(tmpdir(), 'postern-connections-'))
try {
  const credentials = await writeCredentials(directory)
  for (const connections of counts) console.log(await measure(connections, credentials))
} finally {
  await rm(directory, { recursive: true, force: true })
}

async function measure(connections: number, credentials: Credentials): Promise<string> {
  const own = join(directory, String(connections))
  await mkdir(own)
  const workload = await startWorkload('hello', credentials)
  const port = await freePort()
  const setup = { mode: 'http1', directory: own, port, upstreamPort: workload.port } as const
  const prepared = await postern().prepare(process.execPath, { ...setup, credentials })
  const sidecar = PinnedProcess.start({ core: cores.measured, ...prepared, env: limits })
  try {
    await sidecar.listening(port)
    const openingSeconds = warmUpSeconds + (connections * openingMs) / 1_000
    const seconds = openingSeconds + measuredSeconds + 2
    const load: Load = { kind: 'requests', credential: 'svid', protocol: 'http1', connections }
    const driven = drive(load, { port, credentials, directory: own, ratePerSecond, seconds })
    await Promise.race([driven, sleep(openingSeconds * 1_000)])
    const metrics = await metricsOf(own)
    const before = { cpu: sidecar.cpuMicroseconds(), requests: await metrics.requests() }
    const open = await metrics.connections()
    await sleep(measuredSeconds * 1_000)
    const requests = (await metrics.requests()) - before.requests
    const cpu = sidecar.cpuMicroseconds() - before.cpu
    const resident = sidecar.residentMiB()
    const { p50Ms, p99Ms } = await driven
    return (
      `${open} connections, ${Math.round(requests / measuredSeconds)} requests/s: ${(cpu / requests).toFixed(1)} us CPU a request, ` +
      `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(1)} ms (with the opening), ${Math.round(resident)} MiB`
    )
  } finally {
    await sidecar.stop()
    await workload.process.stop()
  }
}

/** What the sidecar with this configuration counts. */
async function metricsOf(folder: string) {
  const config = parse(await readFile(join(folder, 'postern.yaml'), 'utf8')) as {
    health: { listen: string }
  }
  const sum = async (name: string) => {
    const reply = await fetch(`http://${config.health.listen}/metrics`)
    const samples = (await reply.text()).matchAll(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, 'gm'))
    return [...samples].reduce((total, [, value]) => total + Number(value), 0)
  }
  return {
    requests: () => sum('postern_request_duration_seconds_count'),
    connections: () => sum('postern_connections'),
  }
}
