/**
 * How long a start takes: `npm run bench -- start` (`-- [runs]`). The built program is started again and again beside an agent
 * that answers at once, until `/readyz` says 200; bound: 1 s (a pod waits for it). Prints the least, the middle and the most
 * of the time that passed and of the CPU time, which says more on a busy machine, and the memory at that moment: without spans,
 * and with an exporter of OTLP. Linux only.
 */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/core/clock.ts'
import { silentLogger } from '../src/core/logger.ts'
import { DevAgent } from '../src/dev/dev-agent.ts'
import { PosternProcess } from '../test/support/postern-process.ts'

const boundMs = 1_000
const millisecondsPerTick = 10

const environments = {
  'without spans': {},
  'OTLP over HTTP': { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' },
  'OTLP over gRPC': {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
  },
} as const

interface Start {
  readonly passedMs: number
  readonly cpuMs: number
  readonly residentMiB: number
}

async function main([runs = '15']: string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-start-'))
  await using agent = await DevAgent.start({
    ...{ clock: systemClock, logger: silentLogger, trustDomains: ['corp.example'] },
  })
  const socketPath = join(folder, 'agent.sock')
  await agent.listen({ socketPath, spiffeId: 'spiffe://corp.example/payments' })
  for (const [name, env] of Object.entries(environments)) {
    // The first one fills the caches of the file system.
    await start(socketPath, env)
    const starts: Start[] = []
    while (starts.length < Number(runs)) starts.push(await start(socketPath, env))
    print(name, starts)
  }
  await rm(folder, { recursive: true, force: true })
}

async function start(socketPath: string, env: Readonly<Record<string, string>>): Promise<Start> {
  const startedMs = performance.now()
  await using postern = await PosternProcess.start({ files: filesFor(socketPath), env })
  const passedMs = performance.now() - startedMs
  return {
    passedMs,
    cpuMs: cpuMilliseconds(postern.pid),
    residentMiB: (await postern.residentBytes()) / 2 ** 20,
  }
}

function filesFor(socketPath: string): Readonly<Record<string, unknown>> {
  return {
    'postern.yaml': {
      identity: { workloadApi: `unix://${socketPath}` },
      inbound: { listen: '127.0.0.1:0', upstream: '127.0.0.1:1' },
      health: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
    },
    'products.yaml': {
      version: 1,
      products: { all: { callers: [{ trustDomain: 'corp.example' }] } },
    },
  }
}

/** User and system time of all its threads. */
function cpuMilliseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * millisecondsPerTick
}

function print(name: string, starts: readonly Start[]): void {
  const passed = spread(starts.map(({ passedMs }) => passedMs))
  const cpu = spread(starts.map(({ cpuMs }) => cpuMs))
  const resident = Math.max(...starts.map(({ residentMiB }) => residentMiB))
  const late = starts.filter(({ passedMs }) => passedMs > boundMs).length
  console.log(
    `${name}: ready after ${passed} ms, ${cpu} ms CPU, at most ${resident.toFixed(0)} MiB resident;` +
      ` ${late} of ${starts.length} above ${boundMs} ms`,
  )
}

/** The least, the middle and the most. */
function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  return [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)]
    .map((value) => (value ?? NaN).toFixed(0))
    .join(' / ')
}

await main(process.argv.slice(2))
