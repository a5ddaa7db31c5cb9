import type { Command } from 'commander'
import type { ExplainFlags } from '../explain.ts'
import { outputOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'

export function addExplain(program: Command, terminal: Terminal): void {
  program
    .command('explain')
    .description('say why a call was answered as it was; without its id, how a caller would be')
    .argument('[decision-id]', 'of the reply, the log or the trace; asks the running sidecar')
    .option('--config <file>', 'the configuration', 'postern.yaml')
    .option('--admin <host:port>', 'the admin port of the sidecar; default: admin.listen')
    .option('--cert <file>', "the caller's certificate chain, PEM")
    .option('--api-key-id <id>', 'the id of the API key that is presented')
    .option('--address <ip>', 'where the caller connects from; denied where rules ask for it')
    .option('--method <method>', 'of the request', 'GET')
    .option('--host <host>', 'of the request', 'localhost')
    .option('--path <path>', 'of the request', '/')
    .option('--bundle <domain=file...>', 'trust bundles, PEM; default: those of the Workload API')
    .option('-o, --output <form>', 'text or json', outputOption, 'text')
    .action(async (decisionId: string | undefined, flags: ExplainFlags) => {
      const { explainCall } = await import('../explain.ts')
      await explainCall(decisionId, flags, terminal)
    })
}
