import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../support/free-port.ts'

export interface ToolResult {
  readonly exitCode: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

const patienceMs = 30_000

/** Runs a command to its end, with `input` on its standard input. */
export async function runTool(
  command: string,
  args: readonly string[],
  input: Buffer = Buffer.alloc(0),
): Promise<ToolResult> {
  const child = spawn(command, args, { stdio: 'pipe', timeout: patienceMs })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [exitCode] = (await once(child, 'close')) as [number | null]
  return { exitCode, stdout: Buffer.concat(stdout), stderr }
}

/** A server of somebody else's on a free port, up when this resolves. */
export async function startServer(
  command: string,
  argsFor: (port: number) => readonly string[],
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const port = await freePort()
  const child = spawn(command, argsFor(port), { stdio: 'ignore' })
  await accepts(port, child)
  return { port, stop: () => stop(child) }
}

/** Between two looks at a process that is not ours there is nothing to wait for. */
const lookEveryMs = 20

async function accepts(port: number, child: ChildProcess): Promise<void> {
  const endMs = performance.now() + patienceMs
  while (!(await isListening(port))) {
    if (child.exitCode !== null || performance.now() > endMs) throw new Error('it does not start')
    await sleep(lookEveryMs)
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'close')
}
