/**
 * Loaded into the program under test with `--import`: SIGUSR2 has it log the pauses of its event loop and its CPU time since
 * the last signal, and, after a collection, its memory and how many handles it holds.
 *
 * A pause in which the thread stood in the kernel's queue, because another program had the CPU, says nothing about the
 * program: `longestOwnPauseMs` is the longest one without that time. Linux only; elsewhere they are the same.
 */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks'
import { setInterval } from 'node:timers'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose_gc')
const collectGarbage = runInNewContext('gc')

/** The pause that the collection itself makes is over by then. */
const settleMs = 100

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
let cpu = process.cpuUsage()

let longestCollectionMs = 0
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    longestCollectionMs = Math.max(longestCollectionMs, duration)
  }
}).observe({ entryTypes: ['gc'] })

let longestOwnPauseMs = 0
let lastMs = performance.now()
let lastQueuedMs = queuedMs()
setInterval(() => {
  const [nowMs, nowQueuedMs] = [performance.now(), queuedMs()]
  longestOwnPauseMs = Math.max(longestOwnPauseMs, nowMs - lastMs - (nowQueuedMs - lastQueuedMs))
  lastMs = nowMs
  lastQueuedMs = nowQueuedMs
}, 1).unref()

process.on('SIGUSR2', () => {
  const { user, system } = process.cpuUsage(cpu)
  const seen = {
    longestPauseMs: delay.max / 1e6,
    longestOwnPauseMs,
    longestCollectionMs,
    p99PauseMs: delay.percentile(99) / 1e6,
    cpuMs: (user + system) / 1e3,
  }
  collectGarbage()
  setTimeout(() => {
    delay.reset()
    longestOwnPauseMs = 0
    longestCollectionMs = 0
    cpu = process.cpuUsage()
    const { rss: residentBytes, heapUsed: heapBytes } = process.memoryUsage()
    const handles = process.getActiveResourcesInfo().length
    const line = { level: 'info', msg: 'loop delay', ...seen, residentBytes, heapBytes, handles }
    process.stderr.write(`${JSON.stringify(line)}\n`)
  }, settleMs)
})

/** How long the main thread has waited for a CPU: the second figure of its schedstat. */
function queuedMs() {
  try {
    return (
      Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
    )
  } catch {
    return 0
  }
}
