/** The part of V8's .cpuprofile that is read. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Ids of nodes, one for each sample. */
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: {
    readonly functionName: string
    readonly url: string
    readonly lineNumber: number
  }
}

const shown = 60
const notWork = new Set(['(idle)', '(root)'])

/** The functions with the most time of their own, as a table; idle time does not count. */
export function profileText(profile: CpuProfile): string {
  const times = timesByFunction(profile)
  const total = [...times.values()].reduce((sum, time) => sum + time, 0)
  const rows = [...times].sort(([, a], [, b]) => b - a).slice(0, shown)
  const lines = rows.map(
    ([name, time]) => `${((time / total) * 100).toFixed(1).padStart(6)}  ${name}`,
  )
  return `\nself %  function\n${lines.join('\n')}\n`
}

function timesByFunction({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const names = new Map(nodes.map((node) => [node.id, nameOf(node)]))
  const times = new Map<string, number>()
  for (const [i, id] of samples.entries()) {
    const name = names.get(id) ?? ''
    if (!notWork.has(name)) times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0))
  }
  return times
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName
  const file = url.replace(/^.*\/(?:dist|node_modules)\//, '')
  return file === '' ? name : `${name}  ${file}:${lineNumber + 1}`
}
