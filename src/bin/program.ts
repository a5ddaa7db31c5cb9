import { Command } from 'commander'
import { addDemo } from './commands/demo.ts'
import { addCheck } from './commands/check.ts'
import { addDevAgent } from './commands/dev-agent.ts'
import { addExplain } from './commands/explain.ts'
import { addInject } from './commands/inject.ts'
import { addMigration } from './commands/migration.ts'
import { addKey } from './commands/key.ts'
import { addReplay } from './commands/replay.ts'
import { addRun } from './commands/run.ts'
import { addWebhook } from './commands/webhook.ts'
import { addSchema } from './commands/schema.ts'
import type { Terminal } from './terminal.ts'
import { version } from './version.ts'

/** The command line (DESIGN.md 11). Each command loads its code when it runs, so that `--help` is quick. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command('postern')
    .description(
      'A service-mesh sidecar with SPIFFE identity: mTLS under any CA and API keys on one port',
    )
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.stdout.write(text),
      writeErr: (text) => void terminal.stderr.write(text),
    })
  const add = [
    addRun,
    addCheck,
    addExplain,
    addReplay,
    addMigration,
    addKey,
    addSchema,
    addInject,
    addWebhook,
    addDevAgent,
    addDemo,
  ]
  for (const addCommand of add) addCommand(program, terminal)
  return program
}
