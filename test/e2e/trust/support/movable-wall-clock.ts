import { execFileSync } from 'node:child_process'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from 'mocha'
import { requireTool } from '../../../support/tools.ts'

/**
 * The wall clock of another process, by libfaketime: what `Date.now()` says there is moved while it runs, and timers and
 * performance clocks go on as they were, as when somebody sets the time of a machine.
 */
export class MovableWallClock {
  /** For the environment of the process. */
  readonly env: Readonly<Record<string, string>>
  readonly #file: string

  private constructor(library: string, file: string) {
    this.#file = file
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
    this.jumpTo(0)
  }

  /** Skips the test where libfaketime is not installed. `directory` holds the file that moves it. */
  static for(context: Context, directory: string): MovableWallClock {
    const program = requireTool(context, 'faketime')
    const library = execFileSync(program, ['-f', '+0', 'printenv', 'LD_PRELOAD'], {
      encoding: 'utf8',
    })
    return new MovableWallClock(library.trim(), join(directory, 'faketime'))
  }

  /** So many seconds from the real time; the file is replaced, because it is read at any moment. */
  jumpTo(offsetSeconds: number): void {
    writeFileSync(
      `${this.#file}.new`,
      `${offsetSeconds < 0 ? '-' : '+'}${Math.abs(offsetSeconds)}\n`,
    )
    renameSync(`${this.#file}.new`, this.#file)
  }
}
