import { type Command, InvalidArgumentError, Option } from 'commander'
import { addInjectionFlags } from '../injection-flags.ts'
import { addressOption, durationOption } from '../options.ts'
import type { Terminal } from '../terminal.ts'
import type { WebhookFlags } from '../webhook.ts'

export function addWebhook(program: Command, terminal: Terminal): void {
  const command = program
    .command('webhook')
    .description('put the sidecar into pods when they are created: a mutating admission webhook')
    .option(
      '--listen <address>',
      'where API servers call',
      addressOption,
      addressOption('[::]:9443'),
    )
    .option(
      '--health <address>',
      'for probes and metrics',
      addressOption,
      addressOption('[::]:9902'),
    )
    .option('--tls-certificate <file>', 'PEM; default: the SVID of the Workload API')
    .option('--tls-key <file>', 'PEM, of that certificate')
    .option(
      '--workload-api <address>',
      'unix:///path or tcp://IP:port; default: SPIFFE_ENDPOINT_SOCKET',
    )
    .option(
      '--shutdown-delay <duration>',
      'from SIGTERM to the end of accepting',
      durationOption,
      5_000,
    )
    .option(
      '--shutdown-timeout <duration>',
      'for running answers after that',
      durationOption,
      10_000,
    )
    .option('--print-configuration', 'print the MutatingWebhookConfiguration, and run nothing')
    .option('--namespace <name>', 'in it: the namespace of the webhook', 'postern')
    .option('--service <name>', 'in it: the Service of the webhook', 'postern-webhook')
    .option('--ca-bundle <file>', 'in it: PEM of the CA; default: something in the cluster sets it')
    .option('--exclude-namespace <name...>', 'in it: namespaces that are never injected', [])
    .option('--timeout <seconds>', 'in it: how long an API server waits', timeoutOption, 5)
    .addOption(
      new Option(
        '--failure-policy <policy>',
        'in it: what happens to pods that ask while it is down',
      )
        .choices(['Fail', 'Ignore'])
        .default('Fail'),
    )
  addInjectionFlags(command).action(async (flags: WebhookFlags) => {
    const { webhook } = await import('../webhook.ts')
    await webhook(flags, terminal)
  })
}

function timeoutOption(text: string): number {
  const seconds = /^[0-9]{1,2}$/.test(text) ? Number(text) : 0
  if (seconds >= 1 && seconds <= 30) return seconds
  throw new InvalidArgumentError('expected 1 to 30 seconds.')
}
