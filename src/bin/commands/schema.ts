import { Argument, type Command } from 'commander'
import { print, type Terminal } from '../terminal.ts'

export function addSchema(program: Command, terminal: Terminal): void {
  program
    .command('schema')
    .description('print the JSON Schema of a file, for editors')
    .addArgument(new Argument('<file>', 'which').choices(['config', 'products', 'keys']))
    .action(async (file: 'config' | 'products' | 'keys') => {
      const { jsonSchema } = await import('../../config/json-schema.ts')
      print(terminal, JSON.stringify(jsonSchema(file), undefined, 2))
    })
}
