import type { Command } from 'commander'
import type { CheckFlags } from '../check.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'

export function addCheck(program: Command, terminal: Terminal): void {
  program
    .command('check')
    .description('check the files and what is around, without starting; exit code 2 for problems')
    .option('--config <file>', 'the configuration', 'postern.yaml')
    .option('--files-only', 'ask neither the Workload API nor the workload')
    .option('--live', 'also ask the running sidecar')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: CheckFlags) => {
      const { check } = await import('../check.ts')
      await check(flags, terminal)
    })
}
