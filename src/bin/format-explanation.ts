import type { CertificateView } from '../admin/views/certificate-view.ts'
import type { CallerView } from '../admin/views/decision-view.ts'
import type { ExplanationView } from '../admin/views/explanation-view.ts'
import { formatPosition } from '../policy/source-position.ts'
import { printable } from './printable.ts'
import { formatTable } from './table.ts'

/** An explanation for people: what was decided, who called, each step, and why each rule did or did not match. */
export function formatExplanation(view: ExplanationView): string {
  return [
    headline(view),
    ...section('', facts(view)),
    ...section('certificates', certificateRows(view)),
    ...section('steps', stepRows(view)),
    ...section(titleOfRules, ruleRows(view)),
    ...otherRules(view),
    ...section('requests of the product', requestRows(view)),
    ...(view.note === undefined ? [] : [`note: ${view.note}`]),
  ].join('\n')
}

const titleOfRules = 'rules of the product map'

type Row = readonly (string | undefined)[]

function headline({ decision, made }: ExplanationView): string {
  const status = decision.outcome === 'deny' ? ` (${decision.status})` : ''
  const when = made === undefined ? '' : `, ${made.id} at ${made.time}`
  return printable(`${decision.outcome} ${decision.reason}${status}${when}`)
}

/** Nothing when there are no rows; a cell that is not there is a dash. */
function section(title: string, rows: readonly Row[]): string[] {
  if (rows.length === 0) return []
  const cells = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? '  ' : '') + printable(cell ?? '-')),
  )
  return [...(title === '' ? [] : [title]), formatTable(cells)]
}

function facts({ made, caller, request, decision }: ExplanationView): Row[] {
  const { claimed } = caller
  const rows: Row[] = [
    ['from', made && `${made.client}, ${made.protocol}`],
    ['outbound', made?.direction === 'outbound' ? 'a call of the workload' : undefined],
    ['before', made?.previousReason],
    ['request', request && `${request.method} ${request.host} ${request.path}`],
    ['claims', claimed?.spiffeId ?? claimed?.subject],
    ['product', decision.product],
    ['principal', decision.principal],
    ['consumer', decision.consumer],
    ['credential', decision.credential],
    ['key', decision.apiKeyId],
    ['rule', decision.rule],
    ['epoch', decision.epoch === 0 ? undefined : String(decision.epoch)],
  ]
  return rows.filter(([, value]) => value !== undefined)
}

/** What was presented, and who vouched for it or had to. */
function certificateRows({ caller, judgedBy = [] }: ExplanationView): Row[] {
  return [
    ...pathRows(caller),
    ...faultRows(caller),
    ...judgedBy.flatMap(({ name, anchors }) =>
      anchors.length === 0
        ? [[`had to vouch: ${name}`, 'holds no anchor']]
        : anchors.map((anchor) => [`had to vouch: ${name}`, describe(anchor)]),
    ),
  ]
}

function pathRows({ path = [] }: CallerView): Row[] {
  return path.map((certificate, i) => {
    const role = i === 0 ? 'leaf' : i === path.length - 1 ? 'anchor' : 'intermediate'
    return [role, describe(certificate)]
  })
}

function faultRows({ claimed, fault }: CallerView): Row[] {
  if (claimed === undefined) return []
  const { subject, issuer, notAfter, sha256 } = claimed
  const end = notAfter === undefined ? '' : `, until ${notAfter}`
  const digest = sha256 === undefined ? '' : `, sha256 ${sha256.slice(0, 16)}`
  return [
    ['presented', `${named(subject)}, issued by ${named(issuer)}${end}${digest}`],
    ['fault', fault],
  ]
}

function describe({ subject, notAfter, sha256 }: CertificateView): string {
  return `${named(subject)}, until ${notAfter}, sha256 ${sha256.slice(0, 16)}`
}

function named(name: string | undefined): string {
  return name === undefined || name === '' ? 'no name' : name
}

function stepRows({ decision }: ExplanationView): Row[] {
  return decision.steps.map(({ name, outcome, detail }) => [name, outcome, detail])
}

function ruleRows({ rules }: ExplanationView): Row[] {
  return rules.map(({ position, product, rule, result, why }) => [
    formatPosition(position),
    product,
    rule,
    result,
    why,
  ])
}

/** The last line of the rules, or all that there is to say of them. */
function otherRules({ rules, otherRules: count }: ExplanationView): string[] {
  if (count === 0) return []
  const title = rules.length === 0 ? [titleOfRules] : []
  return [
    ...title,
    `  ${count} ${count === 1 ? 'rule has' : 'rules have'} nothing to do with this caller`,
  ]
}

function requestRows({ requests }: ExplanationView): Row[] {
  return requests.map(({ position, matches, why }) => [
    formatPosition(position),
    matches ? 'matches' : 'no-match',
    why,
  ])
}
