import type { Command } from 'commander'
import type { CreateFlags, FileFlags } from '../keys.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'

const defaultFile = 'api-keys.yaml'

export function addKey(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('make, list and revoke API keys')
  key
    .command('create')
    .description('make a key; it is shown once, the file holds its digest')
    .requiredOption('--product <name>', 'the product that it opens')
    .requiredOption('--consumer <name>', 'the customer or application that it is issued to')
    .option('--not-before <date>', 'valid from this day, or moment, on')
    .option('--expires <date>', 'not valid from this day, or moment, on')
    .option('--append <file>', 'add the entry to this file; default: print it')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: CreateFlags) => {
      const { createKey } = await import('../keys.ts')
      createKey(flags, terminal)
    })
  key
    .command('list')
    .description('list the keys of a file; the keys themselves are not in it')
    .option('--file <file>', 'the file', defaultFile)
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (flags: FileFlags) => {
      const { listKeys } = await import('../keys.ts')
      listKeys(flags, terminal)
    })
  key
    .command('revoke')
    .description('let a key expire now; its entry stays, for the records that name it')
    .argument('<id>', 'the id of the key')
    .option('--file <file>', 'the file', defaultFile)
    .action(async (id: string, flags: FileFlags) => {
      const { revokeKeyIn } = await import('../keys.ts')
      revokeKeyIn(id, flags, terminal)
    })
}
