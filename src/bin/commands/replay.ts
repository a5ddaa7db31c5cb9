import type { Command } from 'commander'
import { outputOption } from '../options.ts'
import type { ReplayFlags } from '../replay.ts'
import type { Terminal } from '../terminal.ts'

export function addReplay(program: Command, terminal: Terminal): void {
  program
    .command('replay')
    .description(
      'decide the calls of an audit log again with other files; exit code 2 when an allow became a deny, or a deny an allow',
    )
    .requiredOption('--audit <file>', 'the audit log; - reads from stdin')
    .requiredOption('--products <file>', 'the product map to decide with')
    .option('--api-keys <file>', 'the keys to decide with; default: each key as it was')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: ReplayFlags) => {
      const { replay } = await import('../replay.ts')
      await replay(flags, terminal)
    })
}
