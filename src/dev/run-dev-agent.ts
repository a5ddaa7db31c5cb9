import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { ClientCertificateFiles } from './client-certificate-files.ts'
import { DevAgent } from './dev-agent.ts'
import { runDevCommand } from './dev-commands.ts'

/** What `postern dev-agent` was asked for. */
export interface RunDevAgentOptions {
  /** Absolute path of the Unix socket. */
  readonly socketPath: string
  /** Default `corp.example`; all trust each other. */
  readonly trustDomains?: readonly string[]
  /** Identities of whoever opens the socket, the first is the default one. Default `spiffe://<first trust domain>/workload`. */
  readonly spiffeIds?: readonly string[]
  /** Validity of SVIDs, milliseconds. Default 1 hour. */
  readonly svidTtlMs?: number
  /** Where to keep client certificates for curl; see `ClientCertificateFiles`. */
  readonly clientCertificates?: string
}

export interface RunDevAgentContext {
  /** Ends it. */
  readonly signal: AbortSignal
  readonly logger: Logger
  readonly clock: Clock
  /** Lines of commands, for example of stdin; `help` lists them. Its end does not end the agent. */
  readonly commands: AsyncIterable<string>
  /** Gets the answer to each command. */
  readonly print: (text: string) => void
}

/**
 * Serves an embedded Workload API until the signal aborts.
 * Throws `PosternError` ERR_LISTEN_FAILED, ERR_SPIFFE_ID_INVALID, ERR_TRUST_DOMAIN_INVALID.
 */
export async function runDevAgent(
  options: RunDevAgentOptions,
  context: RunDevAgentContext,
): Promise<void> {
  const { clock, logger, signal } = context
  const { svidTtlMs = 3_600_000, trustDomains = ['corp.example'] } = options
  const agent = await DevAgent.start({ clock, logger, trustDomains, svidTtlMs })
  try {
    const files = await startServing(agent, options, logger)
    void followCommands(agent, context)
    await aborted(signal)
    await files?.close()
  } finally {
    await agent.close()
  }
}

async function startServing(
  agent: DevAgent,
  options: RunDevAgentOptions,
  logger: Logger,
): Promise<ClientCertificateFiles | undefined> {
  const { socketPath, clientCertificates: directory } = options
  const spiffeIds = options.spiffeIds ?? [`spiffe://${agent.trustDomains[0] ?? ''}/workload`]
  const files =
    directory === undefined
      ? undefined
      : await ClientCertificateFiles.start({ agent, logger, directory })
  for (const spiffeId of spiffeIds) await agent.listen({ socketPath, spiffeId })
  logger.info('development agent listens', { socketPath, spiffeIds, clientCertificates: directory })
  return files
}

/** Never rejects: a broken input leaves an agent that serves. */
async function followCommands(agent: DevAgent, context: RunDevAgentContext): Promise<void> {
  try {
    for await (const line of context.commands) {
      if (context.signal.aborted) return
      const answer = await runDevCommand(agent, line)
      if (answer !== '') context.print(answer)
    }
  } catch (error) {
    context.logger.warn('commands cannot be read', { error })
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
