import { type Command, InvalidArgumentError } from 'commander'
import type { MigrationFlags } from '../migration.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'

export function addMigration(program: Command, terminal: Terminal): void {
  program
    .command('migration')
    .description('say who still uses API keys, as the sidecar has seen it')
    .option('--config <file>', 'the configuration', 'postern.yaml')
    .option('--admin <host:port>', 'the admin port; default: admin.listen')
    .option('--offline', 'ask no running sidecar, but usage.json of state.directory')
    .option('--days <n>', 'without a use for so long a consumer counts as moved', daysOption, 30)
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: MigrationFlags) => {
      const { migration } = await import('../migration.ts')
      await migration(flags, terminal)
    })
}

function daysOption(text: string): number {
  const days = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (days >= 1 && days <= 3_650) return days
  throw new InvalidArgumentError('expected a whole number of days from 1 to 3650.')
}
