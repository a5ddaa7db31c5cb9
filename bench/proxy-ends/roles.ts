import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import { PinnedProcess } from '../neighbours/pinned-process.ts'

/** A part of the benchmark in a process of its own, on one core. */
export interface StartedRole {
  readonly process: PinnedProcess
  /** The first line of its output: that it is ready, and where. */
  readonly line: string
}

/** Starts this same program again, as another of its roles. */
export async function startRole(
  program: string,
  core: number,
  args: readonly string[],
): Promise<StartedRole> {
  const node = [...process.execArgv, fileURLToPath(program), ...args]
  const started = PinnedProcess.start({ core, command: process.execPath, args: node })
  return { process: started, line: await started.firstLine() }
}

/** Tells the port to who started us. */
export async function listen(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  console.log((server.address() as AddressInfo).port)
}

/** Plays the role of the command line, or the first of them. */
export async function play(
  main: (args: string[]) => void | Promise<void>,
  roles: Readonly<Record<string, (args: string[]) => void | Promise<void>>>,
): Promise<void> {
  const [name = '', ...rest] = process.argv.slice(2)
  const role = roles[name]
  await (role === undefined ? main(process.argv.slice(2)) : role(rest))
}
