import { type FetchedIdentity, fetchIdentity } from '../app/fetch-identity.ts'
import type { IdentityConfig } from '../config/sidecar-config.ts'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { type Finding, ok, problem, warning } from './finding.ts'

/** What was found about our own identity, and the bundles that came with it. */
export interface CheckedIdentity {
  readonly findings: readonly Finding[]
  /** Undefined: nobody answered. */
  readonly bundles: TrustBundles | undefined
}

/** Asks for our identity as the sidecar would, and holds the clock against it. */
export async function checkIdentity(identity: IdentityConfig): Promise<CheckedIdentity> {
  const fetched = await fetchIdentity(identity, { clock: systemClock, logger: silentLogger })
  const source =
    identity.kind === 'files'
      ? `the files of ${identity.certificate}`
      : `the Workload API at ${identity.address}`
  if (fetched.kind === 'none') {
    const { code, message } = fetched.error
    const hint = hints[code] ?? 'the message says what is wrong'
    return { findings: [problem(`${source}: ${message}`, hint)], bundles: undefined }
  }
  const { svid, bundles } = fetched
  return {
    findings: [
      ok(`${source}: ${svid.id.toString()}, bundles of ${[...bundles.keys()].join(', ')}`),
      ...checkValidity(svid.notAfterMs, svid.leaf.notBeforeMs, systemClock.now()),
      ...checkOwnBundle(fetched),
    ],
    bundles,
  }
}

const hints: Readonly<Partial<Record<string, string>>> = {
  ERR_WORKLOAD_API_UNAVAILABLE:
    'is the agent running, and its socket where identity.workloadApi says?',
  ERR_WORKLOAD_API_DENIED:
    'the agent knows no entry for this process; the sidecar may be another one to it: try --live',
  ERR_IDENTITY_UNAVAILABLE: 'the agent answers and hands out nothing that fits identity.hint',
}

/**
 * What the clock and the dates of the SVID say about each other. One that is not valid yet was issued by a clock that is
 * ahead of ours; one that has ended, or is long past the half of its life at which agents renew, has not been renewed.
 */
export function checkValidity(notAfterMs: number, notBeforeMs: number, nowMs: number): Finding[] {
  const end = new Date(notAfterMs).toISOString()
  if (nowMs < notBeforeMs) {
    const late = seconds(notBeforeMs - nowMs)
    return [problem(`the clock is at least ${late} behind that of the issuer`, 'is NTP running?')]
  }
  if (nowMs > notAfterMs) {
    const message = `the SVID ended at ${end}, ${seconds(nowMs - notAfterMs)} ago`
    return [problem(message, 'the agent does not renew it, or this clock is ahead')]
  }
  const over = (nowMs - notBeforeMs) / (notAfterMs - notBeforeMs)
  if (over > 0.75) {
    const message = `the SVID ends at ${end}, in ${seconds(notAfterMs - nowMs)}, and is not renewed yet`
    return [warning(message, 'agents renew at half of its life: does this one reach its server?')]
  }
  return [ok(`the SVID and the clock agree: valid until ${end}`)]
}

function checkOwnBundle({ svid, bundles }: Extract<FetchedIdentity, { kind: 'held' }>): Finding[] {
  const own = svid.id.trustDomain.name
  if (bundles.has(own)) return []
  return [
    warning(
      `there is no bundle of our own trust domain ${own}`,
      'callers of our own trust domain are refused without one',
    ),
  ]
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1_000)} s`
}
