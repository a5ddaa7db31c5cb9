import { resolve } from 'node:path'
import { type ExplanationView, viewExplanation } from '../admin/views/explanation-view.ts'
import { loadCallerFiles } from '../app/caller-files.ts'
import { readCrls } from '../app/crl-files.ts'
import { fetchBundles } from '../app/fetch-bundles.ts'
import { readBundles } from '../app/read-bundles.ts'
import { readCertificates } from '../app/read-certificates.ts'
import { formatProblem } from '../config/problem.ts'
import { systemClock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import { IpAddress } from '../core/ip-address.ts'
import { authenticate } from '../policy/authenticate.ts'
import type { DecisionInput } from '../policy/decide.ts'
import { explain } from '../policy/explain.ts'
import type { Peer } from '../policy/peer.ts'
import { unlimited } from '../policy/rate-limiter.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { readExplanation } from './admin-answers.ts'
import { adminAddress, type AdminFlags, askAdmin } from './admin-client.ts'
import { formatExplanation } from './format-explanation.ts'
import { loadConfig } from './load-config.ts'
import { createLogger } from './logger.ts'
import type { OutputForm } from './options.ts'
import { print, type Terminal } from './terminal.ts'

export interface ExplainFlags extends AdminFlags {
  readonly cert?: string
  readonly apiKeyId?: string
  readonly address?: string
  readonly method: string
  readonly host: string
  readonly path: string
  readonly bundle?: readonly string[]
  readonly output: OutputForm
}

const maxPemBytes = 4 * 1024 * 1024

/** Explains the decision with this id, as the running sidecar remembers it; without an id what files would lead to. */
export async function explainCall(
  decisionId: string | undefined,
  flags: ExplainFlags,
  terminal: Terminal,
): Promise<void> {
  const text =
    decisionId === undefined
      ? format(await explainOffline(flags, terminal), flags)
      : await explainMade(decisionId, flags, terminal)
  print(terminal, text)
}

function format(view: ExplanationView, { output }: ExplainFlags): string {
  return output === 'json' ? JSON.stringify(view) : formatExplanation(view)
}

async function explainMade(
  decisionId: string,
  flags: ExplainFlags,
  terminal: Terminal,
): Promise<string> {
  const address = adminAddress(flags, terminal)
  const path = `/decisions/${encodeURIComponent(decisionId)}`
  return askAdmin(address, path, (answer) => format(readExplanation(answer), flags))
}

/** Decides for a caller from files, as a sidecar with these files and bundles would. */
async function explainOffline(flags: ExplainFlags, terminal: Terminal): Promise<ExplanationView> {
  const input = await readInput(flags, terminal)
  return viewExplanation(explain(input), input)
}

/** With the bundles, which a decision does not need and its explanation does. */
type OfflineInput = DecisionInput & { readonly peer: Peer; readonly trust: TrustState }

async function readInput(flags: ExplainFlags, terminal: Terminal): Promise<OfflineInput> {
  const config = loadConfig(flags.config, terminal)
  const nowMs = systemClock.now()
  const { allowRemoteUpstream } = config.inbound
  const logger = createLogger(terminal)
  const files = loadCallerFiles({ ...config, allowRemoteUpstream })
  const { products, problems } = readCrls(files.products, config.products, nowMs)
  for (const problem of problems)
    logger.warn('revocation lists not taken', { error: formatProblem(problem) })
  const bundles =
    flags.cert === undefined || flags.bundle !== undefined
      ? readBundles(bundleFiles(flags.bundle ?? []))
      : await fetchBundles(config.identity, { clock: systemClock, logger })
  const trust = { bundles, authorities: products.authorities }
  const peer: Peer =
    flags.cert === undefined
      ? { kind: 'anonymous' }
      : authenticate(readCertificates(flags.cert, maxPemBytes), trust, nowMs)
  return {
    peer,
    address: addressOf(flags.address),
    request: { method: flags.method, host: flags.host, path: flags.path },
    apiKey: flags.apiKeyId === undefined ? undefined : { id: flags.apiKeyId },
    trust: { ...files, products, bundles, epoch: 0, hasIdentity: true },
    rules: config.inbound,
    nowMs,
    limiter: unlimited,
  }
}

function addressOf(text: string | undefined): IpAddress | undefined {
  const address = text === undefined ? undefined : IpAddress.parse(text)
  if (text === undefined || address !== undefined) return address
  throw new PosternError('ERR_ADDRESS_INVALID', `--address ${text}: expected an IP address`)
}

/** `corp.example=roots.pem` of each flag. */
function bundleFiles(flags: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    flags.map((flag) => {
      const at = flag.indexOf('=')
      if (at !== -1) return [flag.slice(0, at), resolve(flag.slice(at + 1))]
      throw new PosternError('ERR_CONFIG_INVALID', `--bundle ${flag}: expected domain=file`)
    }),
  )
}
