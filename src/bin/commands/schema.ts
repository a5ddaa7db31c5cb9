import { Argument, type Command } from 'commander'
import { print, type Terminal } from '../terminal.ts'

export function addSchema(program: Command, terminal: Terminal): void {
  program
    .command('schema')
    .description('print the JSON Schema of a file, for editors, or of a line of the audit log')
    .addArgument(new Argument('<file>', 'which').choices(['config', 'products', 'keys', 'audit']))
    .action(async (file: 'config' | 'products' | 'keys' | 'audit') => {
      print(terminal, JSON.stringify(await schemaOf(file), undefined, 2))
    })
}

async function schemaOf(file: 'config' | 'products' | 'keys' | 'audit'): Promise<object> {
  if (file === 'audit') {
    const { auditJsonSchema } = await import('../../telemetry/audit-schema.ts')
    return auditJsonSchema()
  }
  const { jsonSchema } = await import('../../config/json-schema.ts')
  return jsonSchema(file)
}
