/**
 * Where the CPU time of the sidecar goes: `npm run bench -- profile -- [SCENARIO] [--seconds 8] [--write]`. Runs the built program under
 * V8's sampling profiler in one scenario of the benchmark beside the neighbours and prints the functions with the most time of their
 * own; `--write` keeps the text in bench/profiles/.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { writeCredentials } from './neighbours/credentials.ts'
import { drive } from './neighbours/load.ts'
import { cores, freePort, PinnedProcess } from './neighbours/pinned-process.ts'
import { postern } from './neighbours/proxies/postern.ts'
import { type Scenario, scenarios } from './neighbours/scenario.ts'
import { startWorkload } from './neighbours/start-workload.ts'
import { type CpuProfile, profileText } from './profile/profile-text.ts'

const warmUpSeconds = 3
const wrongUse = 64

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '8' },
    write: { type: 'boolean', default: false },
  },
})
process.exitCode = await main(positionals[0] ?? 'http1-svid')

async function main(name: string): Promise<number> {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) {
    console.error(`no scenario ${name}; there are: ${scenarios.map((one) => one.name).join(', ')}`)
    return wrongUse
  }
  const directory = await mkdtemp(join(tmpdir(), 'postern-profile-'))
  try {
    const text = await profiled(scenario, directory)
    console.log(text)
    const file = fileURLToPath(new URL(`profiles/${name}.txt`, import.meta.url))
    if (values.write) await writeFile(file, text)
    return 0
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function profiled(scenario: Scenario, directory: string): Promise<string> {
  const credentials = await writeCredentials(directory)
  const workload = await startWorkload(scenario.workload, credentials)
  const port = await freePort()
  const { mode } = scenario
  const setup = { mode, directory, port, upstreamPort: workload.port, credentials }
  const { command, args, ...options } = await postern().prepare(process.execPath, setup)
  const profiling = ['--cpu-prof', `--cpu-prof-dir=${directory}`]
  const sidecar = PinnedProcess.start({
    ...{ core: cores.measured, command, args: [...profiling, ...args] },
    ...options,
  })
  await sidecar.listening(port)
  const load = { port, credentials, directory }
  await drive(scenario.load, { ...load, seconds: warmUpSeconds })
  const { units } = await drive(scenario.load, { ...load, seconds: Number(values.seconds) })
  await sidecar.terminate()
  await workload.process.stop()
  const file = (await readdir(directory)).find((one) => one.endsWith('.cpuprofile')) ?? ''
  const profile = JSON.parse(await readFile(join(directory, file), 'utf8')) as CpuProfile
  return `${scenario.title}: ${units} ${scenario.unit}s in ${values.seconds} s\n${profileText(profile)}`
}
