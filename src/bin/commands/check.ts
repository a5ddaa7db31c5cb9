import type { Command } from 'commander'
import type { CheckFlags } from '../check.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'

export function addCheck(program: Command, terminal: Terminal): void {
  program
    .command('check')
    .description('check the files without starting; exit code 2 when something is wrong')
    .option('--config <file>', 'the configuration', 'postern.yaml')
    .option('--live', 'also ask the running sidecar whether it is ready')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: CheckFlags) => {
      const { check } = await import('../check.ts')
      await check(flags, terminal)
    })
}
