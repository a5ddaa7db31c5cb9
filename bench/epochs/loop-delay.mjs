/**
 * Loaded into the program under test with `--import`: SIGUSR2 has it log the pauses of its event loop, its CPU time and its
 * memory since the last signal, and start over.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc')

/** The pause that the collection itself makes is over by then. */
const settleMs = 100

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
let cpu = process.cpuUsage()

process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage(cpu)
  const seen = {
    longestPauseMs: delay.max / 1e6,
    p99PauseMs: delay.percentile(99) / 1e6,
    cpuMs: (user + system) / 1e3,
  }
  collectGarbage()
  setTimeout(() => {
    delay.reset()
    cpu = process.cpuUsage()
    const { rss: residentBytes } = process.memoryUsage()
    const line = { level: 'info', msg: 'loop delay', ...seen, residentBytes }
    process.stderr.write(`${JSON.stringify(line)}\n`)
  }, settleMs)
})
