import type { Command } from 'commander'
import { systemClock } from '../../core/clock.ts'
import { createLogger } from '../logger.ts'
import type { Terminal } from '../terminal.ts'
import { version } from '../version.ts'

export function addRun(program: Command, terminal: Terminal): void {
  program
    .command('run')
    .description(
      'run the sidecar until SIGTERM; SIGHUP reads the files and opens the audit log again, SIGUSR1 the log alone',
    )
    .option('--config <file>', 'the configuration', 'postern.yaml')
    .action(async (flags: { readonly config: string }) => {
      const { loadConfig } = await import('../load-config.ts')
      const { runSidecar } = await import('../../app/run-sidecar.ts')
      await runSidecar(loadConfig(flags.config, terminal), {
        clock: systemClock,
        logger: createLogger(terminal),
        env: terminal.env,
        version: version(),
        shutdown: terminal.shutdown,
        onReloadRequest: (listener) => terminal.onHangup(listener),
        onRotateRequest: (listener) => terminal.onRotate(listener),
      })
    })
}
