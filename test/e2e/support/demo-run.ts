import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** The built program. */
export const builtPostern = fileURLToPath(new URL('../../../dist/bin/postern.js', import.meta.url))

const spoiling = { POSTERN_INBOUND_UNTRUSTED_CERTIFICATE: 'ignore' }

/** `postern demo` as a process of its own; what it writes is kept. */
export class DemoRun {
  readonly exited: Promise<number>
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  #output = ''
  #waiting: (() => void)[] = []

  /** `temporary`: where it may put its files. The environment holds a setting that would spoil it. */
  constructor(temporary: string, ...flags: readonly string[]) {
    const child = spawn(process.execPath, [builtPostern, 'demo', ...flags], {
      env: { ...process.env, TMPDIR: temporary, ...spoiling },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
        this.#wake()
      })
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code) => {
        resolve(code ?? -1)
        this.#wake()
      })
    })
  }

  /** stdout and stderr. */
  get output(): string {
    return this.#output
  }

  get lines(): string[] {
    return this.#output.split('\n')
  }

  /** Resolves when the text has been written; rejects when it ended without. */
  async until(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`the demo ended:\n${this.#output}`)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Nobody reads its output any more. */
  stopReading(): void {
    this.#child.stdout.destroy()
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
