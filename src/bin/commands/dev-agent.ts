import { createInterface } from 'node:readline'
import type { Command } from 'commander'
import { systemClock } from '../../core/clock.ts'
import { createLogger } from '../logger.ts'
import { durationOption } from '../options.ts'
import { print, type Terminal } from '../terminal.ts'

interface DevAgentFlags {
  readonly socket: string
  readonly trustDomain?: string[]
  readonly spiffeId?: string[]
  readonly ttl: number
  readonly clientCertificates?: string
}

export function addDevAgent(program: Command, terminal: Terminal): void {
  program
    .command('dev-agent')
    .description('serve an embedded Workload API, for development only; reads commands from stdin')
    .requiredOption('--socket <path>', 'absolute path of the Unix socket')
    .option('--trust-domain <name...>', 'trust domains, each with a CA; they trust each other')
    .option(
      '--spiffe-id <id...>',
      'identities of whoever opens the socket; the first is the default',
    )
    .option('--ttl <duration>', 'validity of SVIDs', durationOption, 3_600_000)
    .option('--client-certificates <directory>', 'where to keep client certificates for curl')
    .action(async (flags: DevAgentFlags) => {
      const { runDevAgent } = await import('../../dev/run-dev-agent.ts')
      await runDevAgent(
        {
          socketPath: flags.socket,
          svidTtlMs: flags.ttl,
          ...(flags.trustDomain === undefined ? {} : { trustDomains: flags.trustDomain }),
          ...(flags.spiffeId === undefined ? {} : { spiffeIds: flags.spiffeId }),
          ...(flags.clientCertificates === undefined
            ? {}
            : { clientCertificates: flags.clientCertificates }),
        },
        {
          signal: terminal.shutdown,
          logger: createLogger(terminal),
          clock: systemClock,
          commands: createInterface({ input: terminal.stdin }),
          print: (text) => print(terminal, text),
        },
      )
      terminal.stdin.destroy()
    })
}
