import { loadCallerFiles } from '../app/caller-files.ts'
import { type CrlProblem, readCrls } from '../app/crl-files.ts'
import { formatProblem } from '../config/problem.ts'
import type { SidecarConfig, TcpAddress } from '../config/sidecar-config.ts'
import { systemClock } from '../core/clock.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import { lint } from '../policy/lint.ts'
import type { MappedAuthority } from '../policy/product-map.ts'
import { formatPosition } from '../policy/source-position.ts'
import { exitCodes } from './exit-codes.ts'
import { loadConfig } from './load-config.ts'
import type { OutputForm } from './options.ts'
import { print, type Terminal } from './terminal.ts'

export interface CheckFlags {
  readonly config: string
  readonly live?: boolean
  readonly output: OutputForm
}

/** One line of the check. */
interface Finding {
  readonly level: 'ok' | 'warning' | 'problem'
  readonly message: string
}

const marks = { ok: '√', warning: '‼', problem: '×' } as const
const livePatienceMs = 3_000

/** Checks the files, and with `--live` the running sidecar, and says all that it found. */
export async function check(flags: CheckFlags, terminal: Terminal): Promise<void> {
  const findings = await findAll(flags, terminal)
  if (flags.output === 'json') print(terminal, JSON.stringify(findings))
  else for (const { level, message } of findings) print(terminal, `${marks[level]} ${message}`)
  if (findings.some(({ level }) => level === 'problem')) {
    terminal.setExitCode(exitCodes.problemsFound)
  }
}

async function findAll(flags: CheckFlags, terminal: Terminal): Promise<Finding[]> {
  const config = attempt(() => loadConfig(flags.config, terminal))
  if (config.kind === 'failed') return config.findings
  return [
    { level: 'ok', message: `${flags.config} is valid` },
    ...checkCallerFiles(config.value),
    ...(flags.live === true ? await checkLive(config.value.health.listen) : []),
  ]
}

function checkCallerFiles(config: SidecarConfig): Finding[] {
  const { allowRemoteUpstream } = config.inbound
  const files = attempt(() => loadCallerFiles({ ...config, allowRemoteUpstream }))
  if (files.kind === 'failed') return files.findings
  const nowMs = systemClock.now()
  const { apiKeys } = files.value
  const { products, problems } = readCrls(files.value.products, config.products, nowMs)
  const warnings = lint({ products, apiKeys, nowMs })
  return [
    {
      level: 'ok',
      message: `${config.products} is valid: ${products.products.size} products, ${products.authorities.size} authorities`,
    },
    ...(config.apiKeys === undefined
      ? []
      : [{ level: 'ok' as const, message: `${config.apiKeys} is valid: ${apiKeys.size} keys` }]),
    ...[...products.authorities.values()].flatMap(describeLists),
    ...problems.map(describeCrlProblem),
    ...warnings.map(({ position, message }) => ({
      level: 'warning' as const,
      message: `${formatPosition(position)}: ${message}`,
    })),
  ]
}

function describeLists({ alias, anchors, revocation }: MappedAuthority): Finding[] {
  return (revocation?.lists ?? []).map((list) => {
    const isOwn = anchors.some((anchor) => anchor.subjectName.equals(list.issuerName))
    const signer = isOwn ? '' : ', whose signature is checked when a caller presents its CA'
    const end =
      list.nextUpdateMs === Infinity ? '' : ` until ${new Date(list.nextUpdateMs).toISOString()}`
    return {
      level: 'ok',
      message: `authority ${alias}: revocation list of ${list.issuer}, ${list.size} entries${end}${signer}`,
    }
  })
}

/** Without `crlRequired` callers pass all the same, but for those that were known to be revoked. */
function describeCrlProblem(problem: CrlProblem): Finding {
  return { level: problem.isRequired ? 'problem' : 'warning', message: formatProblem(problem) }
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
    const findings = error.message
      .split('\n')
      .map((message): Finding => ({ level: 'problem', message }))
    return { kind: 'failed', findings }
  }
}

async function checkLive({ host, port }: TcpAddress): Promise<Finding[]> {
  const target = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  const address = target.includes(':') ? `[${target}]:${port}` : `${target}:${port}`
  try {
    const reply = await fetch(`http://${address}/readyz`, {
      signal: AbortSignal.timeout(livePatienceMs),
    })
    const body = (await reply.text()).slice(0, 1_000)
    return [
      reply.status === 200
        ? { level: 'ok', message: `the sidecar at ${address} is ready` }
        : { level: 'problem', message: `the sidecar at ${address} is not ready: ${body}` },
    ]
  } catch (error) {
    const message = `the sidecar at ${address} does not answer: ${messageOf(error)}`
    return [{ level: 'problem', message }]
  }
}
