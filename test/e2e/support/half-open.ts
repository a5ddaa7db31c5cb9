import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { HalfOpenOrder, HalfOpenReport, HalfOpenTask } from './half-open/callers.ts'

const script = fileURLToPath(new URL('half-open/callers.ts', import.meta.url))

/** Connections that never come to the end of their handshake, from processes and addresses of their own. */
export class HalfOpenFlood implements Disposable {
  readonly #children: readonly ChildProcess[]

  private constructor(children: readonly ChildProcess[]) {
    this.#children = children
  }

  /** None is opened yet. */
  static start(tasks: readonly HalfOpenTask[]): HalfOpenFlood {
    const children = tasks.map((task) => {
      const child = fork(script)
      child.send(task)
      return child
    })
    return new HalfOpenFlood(children)
  }

  /** So many more from each process; resolves when they are open, with the sum over all processes. */
  async open(each: number): Promise<HalfOpenReport> {
    const reports = await Promise.all(this.#children.map((child) => ask(child, { more: each })))
    return {
      opened: reports.reduce((sum, { opened }) => sum + opened, 0),
      closed: reports.reduce((sum, { closed }) => sum + closed, 0),
    }
  }

  /** The sum over all processes. */
  report(): Promise<HalfOpenReport> {
    return this.open(0)
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}

async function ask(child: ChildProcess, order: HalfOpenOrder): Promise<HalfOpenReport> {
  if (child.exitCode !== null || child.signalCode !== null) throw new Error('a caller has ended')
  child.send(order)
  const [report] = (await once(child, 'message')) as [HalfOpenReport]
  return report
}
