import { loadCallerFiles } from '../app/caller-files.ts'
import { type CrlProblem, readCrls } from '../app/crl-files.ts'
import { formatProblem } from '../config/problem.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import { systemClock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import { lint } from '../policy/lint.ts'
import type { MappedAuthority, ProductMap } from '../policy/product-map.ts'
import { formatPosition } from '../policy/source-position.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { checkIdentity } from './check-identity.ts'
import { checkLive } from './check-live.ts'
import { checkWorkload } from './check-workload.ts'
import { exitCodes } from './exit-codes.ts'
import { type Finding, type FindingGroup, formatFindings, ok, problem, warning } from './finding.ts'
import { loadConfig } from './load-config.ts'
import type { OutputForm } from './options.ts'
import { print, type Terminal } from './terminal.ts'

export interface CheckFlags {
  readonly config: string
  /** Ask nobody; for a machine where the sidecar will not run. */
  readonly filesOnly?: boolean
  readonly live?: boolean
  readonly output: OutputForm
}

/** Checks the files and what a sidecar with them would find around it, and with `--live` the running one. */
export async function check(flags: CheckFlags, terminal: Terminal): Promise<void> {
  const groups = await findAll(flags, terminal)
  const findings = groups.flatMap((group) =>
    group.findings.map((finding) => ({ about: group.name, ...finding })),
  )
  if (flags.output === 'json') print(terminal, JSON.stringify(findings))
  else print(terminal, formatFindings(groups))
  if (findings.some(({ level }) => level === 'problem')) {
    terminal.setExitCode(exitCodes.problemsFound)
  }
}

async function findAll(flags: CheckFlags, terminal: Terminal): Promise<FindingGroup[]> {
  const loaded = attempt(() => loadConfig(flags.config, terminal))
  if (loaded.kind === 'failed') return [{ name: 'files', findings: loaded.findings }]
  const config = loaded.value
  const around = flags.filesOnly === true ? undefined : await checkIdentity(config.identity)
  const { findings, products } = checkCallerFiles(config, around?.bundles)
  const files = [ok(`${flags.config} is valid`), ...findings]
  return [
    { name: 'files', findings: files },
    ...(around === undefined
      ? []
      : [
          { name: 'identity', findings: around.findings },
          { name: 'workload', findings: await checkWorkload(config, products) },
        ]),
    ...(flags.live === true ? [{ name: 'sidecar', findings: await checkLive(config) }] : []),
  ]
}

interface CheckedFiles {
  readonly findings: readonly Finding[]
  /** Undefined: the map is bad. */
  readonly products: ProductMap | undefined
}

/** `bundles`: those that the sidecar would hold; undefined: nobody was asked, and none is missed. */
function checkCallerFiles(config: SidecarConfig, bundles: TrustBundles | undefined): CheckedFiles {
  const { allowRemoteUpstream } = config.inbound
  const files = attempt(() => loadCallerFiles({ ...config, allowRemoteUpstream }))
  if (files.kind === 'failed') return { findings: files.findings, products: undefined }
  const nowMs = systemClock.now()
  const { apiKeys } = files.value
  const { products, problems } = readCrls(files.value.products, config.products, nowMs)
  const warnings = lint({ products, apiKeys, nowMs, ...(bundles && { bundles }) })
  const counts = `${products.products.size} products, ${products.authorities.size} authorities`
  const findings = [
    ok(`${config.products} is valid: ${counts}`),
    ...(config.apiKeys === undefined
      ? []
      : [ok(`${config.apiKeys} is valid: ${apiKeys.size} keys`)]),
    ...[...products.authorities.values()].flatMap(describeLists),
    ...problems.map(describeCrlProblem),
    ...warnings.map(({ position, message }) => warning(`${formatPosition(position)}: ${message}`)),
  ]
  return { findings, products }
}

function describeLists({ alias, anchors, revocation }: MappedAuthority): Finding[] {
  return (revocation?.lists ?? []).map((list) => {
    const isOwn = anchors.some((anchor) => anchor.subjectName.equals(list.issuerName))
    const signer = isOwn ? '' : ', whose signature is checked when a caller presents its CA'
    const end =
      list.nextUpdateMs === Infinity ? '' : ` until ${new Date(list.nextUpdateMs).toISOString()}`
    return ok(
      `authority ${alias}: revocation list of ${list.issuer}, ${list.size} entries${end}${signer}`,
    )
  })
}

/** Without `crlRequired` callers pass all the same, but for those that were known to be revoked. */
function describeCrlProblem(fault: CrlProblem): Finding {
  const { isRequired } = fault
  return (isRequired ? problem : warning)(formatProblem(fault))
}

/** Each problem of a bad file is a finding of its own. */
function attempt<Value>(
  load: () => Value,
):
  | { readonly kind: 'loaded'; readonly value: Value }
  | { readonly kind: 'failed'; readonly findings: Finding[] } {
  try {
    return { kind: 'loaded', value: load() }
  } catch (error) {
    if (!(error instanceof PosternError)) throw error
    const findings = error.message.split('\n').map((message) => problem(message))
    return { kind: 'failed', findings }
  }
}
