/**
 * What Postern costs beside its neighbours: `npm run bench`. Every proxy does the same work on CPU 0, callers and workload share
 * CPU 1, rounds are interleaved, and ratios are of the same run. bench/run.mjs has put neighbours and load generator on PATH.
 *
 *     npm run bench -- neighbours -- --only http1-svid,http2-http1 --rounds 5 --seconds 5 --json
 *     npm run bench -- neighbours -- compare COMMIT COMMIT     two commits of this repository, beside each other
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkouts } from './neighbours/checkouts.ts'
import { writeCredentials } from './neighbours/credentials.ts'
import { type Contender, type Measurement, measureScenario } from './neighbours/measure.ts'
import { envoy } from './neighbours/proxies/envoy.ts'
import { haproxy } from './neighbours/proxies/haproxy.ts'
import { nginx } from './neighbours/proxies/nginx.ts'
import { postern } from './neighbours/proxies/postern.ts'
import type { Proxy } from './neighbours/proxies/proxy.ts'
import { conditions, scenarioTable } from './neighbours/report.ts'
import { type Scenario, scenarios } from './neighbours/scenario.ts'

const wrongUse = 64

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
})

process.exitCode = await main()

async function main(): Promise<number> {
  const chosen = chosenScenarios(values.only)
  if (typeof chosen === 'string') return refuse(chosen)
  const [verb, ...commits] = positionals
  if (verb !== undefined && (verb !== 'compare' || commits.length !== 2)) {
    return refuse(`${positionals.join(' ')} is not "compare COMMIT COMMIT"`)
  }
  const directory = await mkdtemp(join(tmpdir(), 'postern-bench-'))
  try {
    if (verb === undefined) await run(chosen, [postern(), envoy, nginx, haproxy], directory)
    else await run(chosen, await checkouts(commits, directory), directory)
    return 0
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function chosenScenarios(only: string | undefined): readonly Scenario[] | string {
  if (only === undefined) return scenarios
  const names = only.split(',')
  const unknown = names.filter((name) => !scenarios.some((one) => one.name === name))
  if (unknown.length === 0) return scenarios.filter(({ name }) => names.includes(name))
  const known = scenarios.map(({ name }) => name).join(', ')
  return `no scenario ${unknown.join(', ')}; there are: ${known}`
}

async function run(
  chosen: readonly Scenario[],
  proxies: readonly Proxy[],
  directory: string,
): Promise<void> {
  const contenders = await found(proxies)
  const [own, ...others] = contenders
  const bases = others.filter(({ proxy }) => proxy !== own?.proxy).map(({ proxy }) => proxy.name)
  const options = {
    ...{ directory, credentials: await writeCredentials(directory) },
    ...{ rounds: Number(values.rounds), seconds: Number(values.seconds) },
  }
  const all: Measurement[] = []
  for (const scenario of chosen) {
    const measurements = await measureScenario(scenario, contenders, options)
    all.push(...measurements)
    if (!values.json) console.log(scenarioTable(scenario, measurements, bases))
  }
  if (values.json) console.log(JSON.stringify({ versions: versions(contenders), all }, null, 2))
  else console.log(conditions(contenders))
}

async function found(proxies: readonly Proxy[]): Promise<Contender[]> {
  const contenders: Contender[] = []
  for (const proxy of proxies) {
    const program = await proxy.find()
    if (program === undefined) console.error(`${proxy.name} is not there`)
    else contenders.push({ proxy, ...program })
  }
  return contenders
}

function versions(contenders: readonly Contender[]): Record<string, string> {
  return Object.fromEntries(contenders.map(({ proxy, version }) => [proxy.name, version]))
}

function refuse(reason: string): number {
  console.error(reason)
  return wrongUse
}
