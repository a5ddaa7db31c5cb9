import type { Clock } from '../core/clock.ts'
import { IpAddress } from '../core/ip-address.ts'
import type { DecisionRules } from '../policy/decide.ts'
import { explain } from '../policy/explain.ts'
import type { Peer } from '../policy/peer.ts'
import { unlimited } from '../policy/rate-limiter.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { SpiffeId } from '../spiffe/spiffe-id.ts'
import { messageOf } from '../core/errors.ts'
import type { RecentDecisions } from './memory/recent-decisions.ts'
import type { TrustHistory } from './memory/trust-history.ts'
import type { Usage } from './memory/usage.ts'
import type { SidecarState } from './sidecar-state.ts'
import {
  type DecisionFilter,
  type DecisionLine,
  matchesFilter,
  viewDecisionLine,
} from './views/decision-view.ts'
import {
  type ExplanationView,
  viewExplanation,
  viewMadeDecision,
} from './views/explanation-view.ts'
import { defaultQuietDays, type MigrationView, viewMigration } from './views/migration-view.ts'
import { type StatusView, viewStatus } from './views/status-view.ts'

export interface AdminApiOptions {
  readonly state: SidecarState
  readonly recent: RecentDecisions
  readonly history: TrustHistory
  readonly usage: Usage
  readonly clock: Clock
  readonly rules: DecisionRules
}

/** A query that does not say what it should. */
export class AdminInputError extends Error {
  override readonly name = 'AdminInputError'
}

/** The list of decisions. */
export interface DecisionList {
  /** Newest first. */
  readonly decisions: readonly DecisionLine[]
  /** All that were ever made by this process. */
  readonly made: number
}

const mostDecisions = 1_000
const defaultDecisions = 200

/** What the admin port answers, without HTTP. */
export class AdminApi {
  readonly #options: AdminApiOptions

  constructor(options: AdminApiOptions) {
    this.#options = options
  }

  get recent(): RecentDecisions {
    return this.#options.recent
  }

  get epoch(): number {
    return this.#options.state.trust().epoch
  }

  status(): StatusView {
    const { state, history, usage, clock } = this.#options
    return viewStatus({ state, history, usage, nowMs: clock.now() })
  }

  /** Throws `AdminInputError`. */
  migration(query: URLSearchParams): MigrationView {
    const { state, usage, clock } = this.#options
    const quietDays = wholeNumber(query, 'days', { default: defaultQuietDays, most: 3_650 })
    return viewMigration({ trust: state.trust(), usage, nowMs: clock.now(), quietDays })
  }

  /** Throws `AdminInputError`. */
  decisions(query: URLSearchParams): DecisionList {
    const filter = this.filter(query, ['limit'])
    const limit = wholeNumber(query, 'limit', { default: defaultDecisions, most: mostDecisions })
    const decisions: DecisionLine[] = []
    for (const { record } of this.recent.after(0)) {
      if (decisions.length === limit) break
      const line = viewDecisionLine(record)
      if (matchesFilter(line, filter)) decisions.push(line)
    }
    return { decisions, made: this.recent.count }
  }

  /** Reads the filter of a list or a stream. Throws `AdminInputError`. */
  filter(query: URLSearchParams, more: readonly string[] = []): DecisionFilter {
    expectOnly(query, [...filterNames, ...more])
    const outcome = query.get('outcome') ?? undefined
    if (outcome !== undefined && outcome !== 'allow' && outcome !== 'deny') {
      throw new AdminInputError('outcome: expected allow or deny')
    }
    const { reason, product, credential, text } = Object.fromEntries(query)
    return {
      ...(outcome !== undefined && { outcome }),
      ...(reason !== undefined && { reason }),
      ...(product !== undefined && { product }),
      ...(credential !== undefined && { credential }),
      ...(text !== undefined && { text }),
    }
  }

  /** Undefined: it is not held any more, or was never made here. */
  decision(id: string): ExplanationView | undefined {
    const record = this.recent.find(id)
    if (record === undefined) return undefined
    const { history } = this.#options
    return viewMadeDecision(record, history.find(record.decision.epoch), this.epoch)
  }

  /**
   * What a caller would be answered now: `spiffeId`, as if its SVID were valid, or `apiKeyId`, or neither; `method`, `host`
   * and `path`; `address` where it connects from. Throws `AdminInputError`.
   */
  explain(query: URLSearchParams): ExplanationView {
    expectOnly(query, ['spiffeId', 'apiKeyId', 'address', 'method', 'host', 'path'])
    const { state, clock, rules } = this.#options
    const { apiKeyId, method = 'GET', host = 'localhost', path = '/' } = Object.fromEntries(query)
    const request = { method, host, path }
    const trust = { ...state.trust(), hasIdentity: true }
    const peer = readPeer(query.get('spiffeId'), trust)
    const explanation = explain({
      peer,
      request,
      address: readAddress(query.get('address')),
      apiKey: apiKeyId === undefined ? undefined : { id: apiKeyId },
      trust,
      rules,
      nowMs: clock.now(),
      limiter: unlimited,
    })
    const view = viewExplanation(explanation, { peer, request, trust })
    if (peer.kind !== 'svid') return view
    const note = 'as if a valid SVID had been presented that no authority issued'
    return { ...view, caller: { kind: 'svid', spiffeId: peer.id.toString() }, note }
  }

  /** Resolves with the files as they were taken. */
  async reload(): Promise<Pick<StatusView, 'epoch' | 'files'>> {
    await this.#options.state.reload()
    const { epoch, files } = this.status()
    return { epoch, files }
  }
}

const filterNames = ['outcome', 'reason', 'product', 'credential', 'text']

/** A name that nobody knows is told rather than ignored: a list that is not narrowed looks like an answer. */
function expectOnly(query: URLSearchParams, names: readonly string[]): void {
  for (const name of query.keys()) {
    if (names.includes(name)) continue
    const shown = JSON.stringify(name.slice(0, 80))
    throw new AdminInputError(`${shown} is not known, expected ${names.join(', ')}`)
  }
}

function wholeNumber(
  query: URLSearchParams,
  name: string,
  bounds: { readonly default: number; readonly most: number },
): number {
  const text = query.get(name)
  if (text === null) return bounds.default
  const value = /^\d{1,7}$/.test(text) ? Number(text) : 0
  if (value >= 1 && value <= bounds.most) return value
  throw new AdminInputError(`${name}: expected a whole number from 1 to ${bounds.most}`)
}

/**
 * As if it had presented a valid SVID of this ID, which no authority issued. The anchor stands in for a path that nobody
 * presented; only its end counts for `decide`.
 */
function readPeer(spiffeId: string | null, { bundles }: TrustState): Peer {
  if (spiffeId === null) return { kind: 'anonymous' }
  const id = parseId(spiffeId)
  const anchor = bundles.get(id.trustDomain.name)?.anchors[0]
  if (anchor === undefined) {
    const detail = `no bundle is held for ${id.trustDomain.name}`
    const claimed = { spiffeId: id.toString() }
    return { kind: 'untrusted', reason: 'trust_domain_unknown', detail, claimed }
  }
  const ends = { notAfterMs: Infinity, revocationUntilMs: Infinity }
  const path = { certificates: [anchor], leaf: anchor, anchor, ...ends } as const
  return { kind: 'svid', id, path, authorities: [] }
}

function readAddress(text: string | null): IpAddress | undefined {
  const address = text === null ? undefined : IpAddress.parse(text)
  if (text === null || address !== undefined) return address
  throw new AdminInputError('address: expected an IP address')
}

function parseId(text: string): SpiffeId {
  try {
    return SpiffeId.parse(text)
  } catch (error) {
    throw new AdminInputError(`spiffeId: ${messageOf(error)}`)
  }
}
