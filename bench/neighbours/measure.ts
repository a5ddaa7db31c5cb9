import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credentials } from './credentials.ts'
import { drive, type LoadOptions } from './load.ts'
import { cores, freePort, PinnedProcess } from './pinned-process.ts'
import type { Proxy } from './proxies/proxy.ts'
import type { Scenario } from './scenario.ts'
import { startWorkload } from './start-workload.ts'

/** A proxy that was found, with what starts it. */
export interface Contender {
  readonly proxy: Proxy
  readonly command: string
  readonly version: string
}

/** One proxy in one scenario; each list has one figure per round. */
export interface Measurement {
  readonly proxy: string
  readonly scenario: string
  readonly cpuMicroseconds: number[]
  readonly unitsPerSecond: number[]
  readonly p50Ms: number[]
  readonly p99Ms: number[]
  /** After the last round. */
  residentMiB: number
  /** Why there is no figure. */
  missing?: string
}

export interface MeasureOptions {
  readonly credentials: Credentials
  readonly directory: string
  readonly rounds: number
  /** Of the load of one round at full speed; that at the fixed rate takes as long. */
  readonly seconds: number
}

/** A sidecar lives for days: what it costs in its first seconds, while Node compiles, is not of interest. */
const warmUpSeconds = 10

/** All proxies in one scenario: started together, then measured in turn, round by round. */
export async function measureScenario(
  scenario: Scenario,
  contenders: readonly Contender[],
  options: MeasureOptions,
): Promise<Measurement[]> {
  await using stage = await Stage.open(scenario, options)
  const runners: Runner[] = []
  for (const contender of contenders) runners.push(await stage.start(contender))
  for (let round = 0; round < options.rounds; round++) {
    for (const runner of runners) await runner.round()
  }
  return runners.map(({ measurement }) => measurement)
}

/** The workload of one scenario, and the proxies before it. */
class Stage {
  readonly #scenario: Scenario
  readonly #options: MeasureOptions
  readonly #workload: PinnedProcess
  readonly #upstreamPort: number
  readonly #processes: PinnedProcess[] = []

  private constructor(
    scenario: Scenario,
    options: MeasureOptions,
    workload: PinnedProcess,
    port: number,
  ) {
    this.#scenario = scenario
    this.#options = options
    this.#workload = workload
    this.#upstreamPort = port
  }

  static async open(scenario: Scenario, options: MeasureOptions): Promise<Stage> {
    const workload = await startWorkload(scenario.workload, options.credentials)
    return new Stage(scenario, options, workload.process, workload.port)
  }

  async start(contender: Contender): Promise<Runner> {
    const { proxy } = contender
    const cannot = proxy.cannot(this.#scenario.mode)
    if (cannot !== undefined) return new Runner(proxy.name, this.#scenario, cannot)
    try {
      return await this.#warm(contender)
    } catch (error) {
      return new Runner(proxy.name, this.#scenario, failure(error))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [...this.#processes, this.#workload]) await process.stop()
  }

  async #warm({ proxy, command }: Contender): Promise<Runner> {
    const port = await freePort()
    const directory = join(this.#options.directory, `${this.#scenario.name}-${proxy.name}`)
    await mkdir(directory, { recursive: true })
    const { credentials, seconds } = this.#options
    const upstreamPort = this.#upstreamPort
    const setup = { mode: this.#scenario.mode, directory, port, upstreamPort, credentials }
    const prepared = await proxy.prepare(command, setup)
    const process = PinnedProcess.start({ core: cores.measured, ...prepared })
    this.#processes.push(process)
    await process.listening(port)
    const load = { port, credentials, directory, seconds }
    await drive(this.#scenario.load, { ...load, seconds: warmUpSeconds })
    return new Runner(proxy.name, this.#scenario, { process, load })
  }
}

/** A proxy that is up and warm, or the reason why there is none. */
class Runner {
  readonly measurement: Measurement
  readonly #scenario: Scenario
  readonly #running: { readonly process: PinnedProcess; readonly load: LoadOptions } | undefined

  constructor(
    name: string,
    scenario: Scenario,
    state: string | { readonly process: PinnedProcess; readonly load: LoadOptions },
  ) {
    this.#scenario = scenario
    this.#running = typeof state === 'string' ? undefined : state
    this.measurement = {
      ...{ proxy: name, scenario: scenario.name },
      ...{ cpuMicroseconds: [], unitsPerSecond: [], p50Ms: [], p99Ms: [], residentMiB: NaN },
      ...(typeof state === 'string' ? { missing: state } : {}),
    }
  }

  async round(): Promise<void> {
    if (this.#running === undefined || this.measurement.missing !== undefined) return
    try {
      await this.#measure(this.#running.process, this.#running.load)
    } catch (error) {
      this.measurement.missing = failure(error)
    }
  }

  async #measure(process: PinnedProcess, options: LoadOptions): Promise<void> {
    const { load, ratePerSecond } = this.#scenario
    const { cpuMicroseconds, unitsPerSecond, p50Ms, p99Ms } = this.measurement
    const before = process.cpuMicroseconds()
    const { units } = await drive(load, options)
    cpuMicroseconds.push((process.cpuMicroseconds() - before) / units)
    unitsPerSecond.push(units / options.seconds)
    const paced = await drive(load, { ...options, ratePerSecond })
    p50Ms.push(paced.p50Ms)
    p99Ms.push(paced.p99Ms)
    this.measurement.residentMiB = process.residentMiB()
  }
}

function failure(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
