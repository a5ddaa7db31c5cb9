import type { Command } from 'commander'
import type { InjectFlags } from '../inject.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'
import { addInjectionFlags } from '../injection-flags.ts'

export function addInject(program: Command, terminal: Terminal): void {
  const command = program
    .command('inject')
    .description('put the sidecar into manifests; what is not touched stays byte for byte')
    .requiredOption('-f, --filename <path...>', 'files, folders, or - for stdin')
    .option('--uninject', 'take it out again')
    .option('--rename-ports', 'point the Services that lead to the workload at the sidecar')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
  addInjectionFlags(command).action(async (flags: InjectFlags) => {
    const { inject } = await import('../inject.ts')
    await inject(flags, terminal)
  })
}
