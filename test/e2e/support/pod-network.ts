import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type ProgramOptions, type ProgramResult, runProgram } from './programs.ts'

/** Addresses of documentation (RFC 5737, RFC 3849), within namespaces of our own. */
const outside = { v4: '192.0.2.1', v6: '2001:db8::1' }
export const podAddresses = { v4: '192.0.2.2', v6: '2001:db8::2' } as const

const workloadProgram = `
const { createServer } = require('node:http')
const answer = (request, reply) => reply.end('workload ' + (request.headers['x-postern-product'] ?? '-'))
let open = 0
for (const port of [8080, 8081]) createServer(answer).listen(port, '::', () => ++open === 2 && console.log('ready'))
`

/**
 * Two network namespaces with a cable between them: a pod, in which a workload serves on 8080 and 8081, and what is outside of
 * it. Nothing of the machine's own network is touched. Needs root.
 */
export class PodNetwork {
  readonly #pod = `postern-pod-${process.pid}`
  readonly #outside = `postern-out-${process.pid}`
  #workload: ChildProcess | undefined

  /** Throws what cannot be had on this machine. */
  static async start(): Promise<PodNetwork> {
    const network = new PodNetwork()
    try {
      await network.#connect()
      await network.#startWorkload()
    } catch (error) {
      await network.close()
      throw error
    }
    return network
  }

  /** What starts a program in the pod. */
  get starter(): readonly string[] {
    return ['ip', 'netns', 'exec', this.#pod]
  }

  inPod(command: readonly string[], options?: ProgramOptions): Promise<ProgramResult> {
    return this.#within(this.#pod, command, options)
  }

  fromOutside(command: readonly string[]): Promise<ProgramResult> {
    return this.#within(this.#outside, command)
  }

  async close(): Promise<void> {
    this.#workload?.kill('SIGKILL')
    for (const name of [this.#pod, this.#outside]) await runProgram('ip', ['netns', 'del', name])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #connect(): Promise<void> {
    const [pod, out] = [this.#pod, this.#outside]
    const cable = `link add eth0 netns ${pod} type veth peer name eth0 netns ${out}`
    const commands = [`netns add ${pod}`, `netns add ${out}`, cable]
    for (const [name, { v4, v6 }] of [
      [pod, podAddresses],
      [out, outside],
    ] as const) {
      commands.push(
        `-n ${name} addr add ${v4}/24 dev eth0`,
        `-n ${name} addr add ${v6}/64 dev eth0 nodad`,
        `-n ${name} link set lo up`,
        `-n ${name} link set eth0 up`,
      )
    }
    for (const command of commands) {
      const { code, stderr } = await runProgram('ip', command.split(' '))
      if (code !== 0) throw new Error(`ip ${command}: ${stderr.trim()}`)
    }
  }

  async #startWorkload(): Promise<void> {
    const [command, ...args] = [...this.starter, process.execPath, '-e', workloadProgram]
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#workload = child
    process.once('exit', () => child.kill('SIGKILL'))
    await new Promise((resolve) => createInterface({ input: child.stdout }).once('line', resolve))
  }

  #within(
    name: string,
    command: readonly string[],
    options?: ProgramOptions,
  ): Promise<ProgramResult> {
    return runProgram('ip', ['netns', 'exec', name, ...command], options)
  }
}
