import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { performance } from 'node:perf_hooks'
import { clearTimeout } from 'node:timers'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Groups of processes that are running now, by the id of their leader. */
const running = new Set()

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.once(signal, () => process.exit(exitCode))
}
process.once('exit', () => running.forEach(endGroup))

/**
 * Runs a command and resolves when it has ended, whatever its exit code; never rejects. The command leads its own
 * process group, which is killed after `timeoutMs`, when this process ends, and when the command itself has ended:
 * nothing that a test starts outlives it. Output is collected, or passed on as it comes with `live`.
 */
export function run(command, options, { timeoutMs, env = process.env, cwd = root, live = false }) {
  const startMs = performance.now()
  const child = spawn(command, options, {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', live ? 'inherit' : 'pipe', live ? 'inherit' : 'pipe'],
  })
  const output = collect([child.stdout, child.stderr])
  return new Promise((resolve) => {
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      endGroup(child.pid)
    }, timeoutMs)
    const end = (code, text) => {
      clearTimeout(timer)
      resolve({ code, timedOut, output: text, seconds: (performance.now() - startMs) / 1000 })
    }
    running.add(child.pid)
    child.once('exit', () => endGroup(child.pid))
    child.once('error', (error) => end(undefined, error.message))
    child.once('close', (code) => end(code ?? undefined, output()))
  })
}

function collect(streams) {
  const chunks = []
  for (const stream of streams) stream?.on('data', (chunk) => chunks.push(chunk))
  return () => Buffer.concat(chunks).toString('utf8')
}

function endGroup(pid) {
  running.delete(pid)
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // ESRCH: nobody of the group is left.
  }
}
