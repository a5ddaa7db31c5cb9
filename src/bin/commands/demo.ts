import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { type Command, Option } from 'commander'
import { systemClock } from '../../core/clock.ts'
import type { SpawnPostern } from '../../dev/demo/demo-stage.ts'
import { exitCodes } from '../exit-codes.ts'
import { print, type Terminal } from '../terminal.ts'

interface DemoFlags {
  readonly keep?: true
  readonly workload?: true
}

export function addDemo(program: Command, terminal: Terminal): void {
  program
    .command('demo')
    .description('play every kind of caller against one sidecar, and show each answer')
    .option('--keep', 'stay until Ctrl-C and print commands to try')
    .addOption(new Option('--workload', 'run the workload of the demo').hideHelp())
    .action((flags: DemoFlags) => (flags.workload ? runWorkload(terminal) : play(flags, terminal)))
}

async function runWorkload(terminal: Terminal): Promise<void> {
  const { runDemoWorkload } = await import('../../dev/demo/demo-workload.ts')
  await runDemoWorkload(terminal.shutdown, (port) => print(terminal, String(port)))
}

async function play(flags: DemoFlags, terminal: Terminal): Promise<void> {
  const { runDemo } = await import('../../dev/demo/run-demo.ts')
  const hangup = new AbortController()
  terminal.onHangup(() => hangup.abort())
  const outcome = await runDemo(
    { keep: flags.keep === true },
    {
      clock: systemClock,
      signal: AbortSignal.any([terminal.shutdown, hangup.signal]),
      directory: temporaryDirectory(),
      spawnPostern: spawnPostern(terminal),
      print: (line) => print(terminal, line),
      program,
      paint: terminal.isInteractive ? styleText : (_style, text) => text,
    },
  )
  if (outcome !== 'right') terminal.setExitCode(exitCodes.failed)
}

// Whatever way this process ends, by a closed pipe or a bug too, it leaves no keys and no processes behind.

/** Only its owner can read it. */
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'postern-demo-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** How the program that runs now was started, built or not. */
const program = [
  process.execPath,
  ...process.execArgv,
  fileURLToPath(new URL(`../postern${extname(import.meta.url)}`, import.meta.url)),
]

const setting = /^(?:(?:POSTERN|OTEL|SPIFFE)_.*|LOG_LEVEL)$/

/** Without the settings of whoever runs the demo: it shows what its own files say. */
function spawnPostern({ env }: Terminal): SpawnPostern {
  const inherited = Object.entries(env).filter(([name]) => !setting.test(name))
  const [node = '', ...rest] = program
  return (args, added) => {
    const child = spawn(node, [...rest, ...args], {
      env: { ...Object.fromEntries(inherited), ...added },
      stdio: 'pipe',
    })
    process.once('exit', () => child.kill())
    return child
  }
}
