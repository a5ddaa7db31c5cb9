import type { Step } from '../policy/decision.ts'
import type { ClaimedIdentity, Peer } from '../policy/peer.ts'
import type { CertificatePath } from '../x509/certificate-path.ts'
import {
  bounded,
  isoTime,
  longestDetail,
  longestHost,
  longestMethod,
  longestName,
  longestPath,
  longestSpiffeId,
  longestWord,
  recordedPath,
} from './record-text.ts'
import {
  type DecisionRecord,
  type Outcome,
  type RecordedDecision,
  type RecordedRequest,
  upstreamOf,
} from './telemetry.ts'

/**
 * The audit log, one JSON object a line; what it holds is written down in audit-schema.ts. Every text is bounded, and all but
 * printable ASCII is escaped: no line can forge another or steer a terminal, and its length is its size.
 *
 * On the path of every request: 0.6 us, where `JSON.stringify` of the decision alone takes 1.7 (bench/records.ts). What repeats
 * from request to request is rendered once; tests compare with a line that remembers nothing, and read every line back.
 */
export class AuditLines {
  readonly #peers = new WeakMap<Peer, string>()
  readonly #answers = new Map<string | undefined, Answer>()
  readonly #steps = new Map<Step, string>()
  #timeMs = Number.NaN
  #time = ''

  /** One line with its line feed. */
  render(traceId: string, record: DecisionRecord, outcome: Outcome): string {
    return (
      `{"time":"${this.#timeOf(record.atMs)}","id":${quote(record.id, longestWord)},"trace":"${traceId}"` +
      `,"direction":"${record.direction}","protocol":"${record.protocol}"` +
      `,"client":{"address":${quote(record.clientAddress, longestWord)},"port":${record.clientPort}}` +
      this.#peerText(record.peer) +
      (record.request === undefined ? '' : renderRequest(record.request)) +
      (record.previousReason === undefined ? '' : `,"previous_reason":"${record.previousReason}"`) +
      this.#answerText(record.decision) +
      this.#stepsText(record.decision.steps) +
      renderOutcome(outcome)
    )
  }

  /** Requests of the same millisecond share the string. */
  #timeOf(timeMs: number): string {
    if (timeMs !== this.#timeMs) {
      this.#time = isoTime(timeMs) ?? ''
      this.#timeMs = timeMs
    }
    return this.#time
  }

  /** A peer is one object for the life of its connection, and the largest part of the line. */
  #peerText(peer: Peer): string {
    const known = this.#peers.get(peer)
    if (known !== undefined) return known
    const fresh = `,"peer":${json(describePeer(peer))}`
    this.#peers.set(peer, fresh)
    return fresh
  }

  /** Up to the first step. A principal mostly gets the same answer as the last time. */
  #answerText(decision: RecordedDecision): string {
    const known = this.#answers.get(decision.principal)
    if (known !== undefined && isSameAnswer(known.decision, decision)) return known.text
    const text = `,"decision":{${inner(describeDecision(decision))},"steps":[`
    remember(this.#answers, decision.principal, { decision, text })
    return text
  }

  #stepsText(steps: readonly Step[]): string {
    let text = ''
    for (let i = 0; i < steps.length && i < mostSteps; i++) {
      const step = steps[i]
      if (step !== undefined) text += (i === 0 ? '' : ',') + this.#stepText(step)
    }
    return text
  }

  /** Most steps are the same objects in every decision. */
  #stepText(step: Step): string {
    const known = this.#steps.get(step)
    if (known !== undefined) return known
    const { name, outcome, detail } = step
    const text = json({ name, outcome, detail: bounded(detail, longestDetail) })
    remember(this.#steps, step, text)
    return text
  }
}

interface Answer {
  readonly decision: RecordedDecision
  readonly text: string
}

const mostSteps = 16
const mostRemembered = 1_024

function remember<Key, Value>(memory: Map<Key, Value>, key: Key, value: Value): void {
  if (memory.size >= mostRemembered) memory.clear()
  memory.set(key, value)
}

/** For decisions about the same principal. */
function isSameAnswer(a: RecordedDecision, b: RecordedDecision): boolean {
  return (
    a.reason === b.reason &&
    a.product === b.product &&
    a.consumer === b.consumer &&
    a.credential === b.credential &&
    a.apiKeyId === b.apiKeyId &&
    a.rule === b.rule &&
    a.epoch === b.epoch &&
    a.apiKeyWarned === b.apiKeyWarned &&
    isSameBeside(a.keyBeside, b.keyBeside) &&
    a.ignoredCertificate === b.ignoredCertificate &&
    isSameOutcome(a, b)
  )
}

function isSameOutcome(a: RecordedDecision, b: RecordedDecision): boolean {
  if (upstreamOf(a) !== upstreamOf(b)) return false
  if (a.outcome === 'allow' || b.outcome === 'allow') return a.outcome === b.outcome
  return a.status === b.status && retryAfterOf(a) === retryAfterOf(b)
}

function isSameBeside(a: RecordedDecision['keyBeside'], b: RecordedDecision['keyBeside']): boolean {
  if (a === undefined || b === undefined) return a === b
  if (a.status === 'unknown' || b.status === 'unknown') return a.status === b.status
  return (
    a.status === b.status && a.id === b.id && a.product === b.product && a.consumer === b.consumer
  )
}

function describePeer(peer: Peer): object {
  switch (peer.kind) {
    case 'plaintext':
    case 'anonymous':
      return { kind: peer.kind }
    case 'svid':
      return {
        kind: peer.kind,
        spiffe_id: peer.id.toString(),
        ...describePath(peer.path),
        authorities: peer.authorities,
        bundle: peer.isByAuthority === true ? 'authority' : undefined,
      }
    case 'certificate':
      return {
        kind: peer.kind,
        principal: bounded(peer.subject, longestName),
        ...describePath(peer.path),
        authorities: peer.authorities,
      }
    case 'untrusted':
      return {
        kind: peer.kind,
        reason: peer.reason,
        detail: bounded(peer.detail, longestDetail),
        claimed: describeClaimed(peer.claimed),
      }
  }
}

function describePath(path: CertificatePath): object {
  return {
    subject: bounded(path.leaf.subject, longestName),
    issuer: bounded(path.leaf.issuer, longestName),
    chain: path.certificates.map((certificate) => certificate.sha256),
    not_after: isoTime(path.notAfterMs),
  }
}

function describeClaimed(claimed: ClaimedIdentity): object {
  return {
    subject: text(claimed.subject, longestName),
    issuer: text(claimed.issuer, longestName),
    spiffe_id: text(claimed.spiffeId, longestSpiffeId),
    sha256: text(claimed.sha256, longestWord),
    not_after: claimed.notAfterMs === undefined ? undefined : isoTime(claimed.notAfterMs),
  }
}

function describeDecision(decision: RecordedDecision): object {
  return {
    outcome: decision.outcome,
    reason: decision.reason,
    ...describeAnswer(decision),
    product: text(decision.product, longestWord),
    principal: text(decision.principal, longestSpiffeId),
    consumer: text(decision.consumer, longestWord),
    credential: decision.credential,
    key: text(decision.apiKeyId, longestWord),
    rule: text(decision.rule, longestSpiffeId),
    epoch: decision.epoch,
    key_warned: decision.apiKeyWarned,
    key_beside: describeBeside(decision.keyBeside),
    ignored_certificate: decision.ignoredCertificate,
  }
}

function describeBeside(beside: RecordedDecision['keyBeside']): object | undefined {
  if (beside === undefined || beside.status === 'unknown') return beside
  const { status, id, product, consumer } = beside
  return {
    status,
    id: bounded(id, longestWord),
    product: bounded(product, longestWord),
    consumer: bounded(consumer, longestWord),
  }
}

function describeAnswer(decision: RecordedDecision): object {
  const upstream = text(upstreamOf(decision), longestWord)
  return decision.outcome === 'allow'
    ? { upstream }
    : { status: decision.status, retry_after: retryAfterOf(decision), upstream }
}

function retryAfterOf(decision: RecordedDecision): number | undefined {
  return 'retryAfterSeconds' in decision ? decision.retryAfterSeconds : undefined
}

function renderRequest({ method, host, path }: RecordedRequest): string {
  const isWhole =
    method.length <= longestMethod && host.length <= longestHost && path.length <= longestPath
  return (
    `,"request":{"method":${quote(method, longestMethod)},"host":${quote(host, longestHost)}` +
    `,"path":${quote(recordedPath(path), longestPath)}${isWhole ? '}' : ',"truncated":true}'}`
  )
}

/** Begins after the last step. */
function renderOutcome({ status, requestBytes, replyBytes, durationMs, error }: Outcome): string {
  return (
    (status === 0 ? ']}' : `]},"status":${status}`) +
    `,"request_bytes":${requestBytes},"reply_bytes":${replyBytes},"duration_ms":${milliseconds(durationMs)}` +
    (error === undefined ? '}\n' : `,"error":${quote(error, longestWord)}}\n`)
  )
}

/** Microseconds are kept. A duration that is none must not break the line. Whole numbers are cheap to write, others are not. */
function milliseconds(durationMs: number): string {
  const microseconds = Math.round(durationMs * 1_000)
  if (!(microseconds > 0) || !Number.isSafeInteger(microseconds)) return '0'
  const whole = Math.floor(microseconds / 1_000)
  return `${whole}${thousandths[microseconds - whole * 1_000] ?? ''}`
}

/** `''`, `.001`, ... `.999`, without zeros at the end. */
const thousandths = Array.from({ length: 1_000 }, (_, i) => String(i / 1_000).slice(1))

function text(value: string | undefined, longest: number): string | undefined {
  return value === undefined ? undefined : bounded(value, longest)
}

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** A JSON string of at most `longest` characters of `value`. */
function quote(value: string, longest: number): string {
  const short = bounded(value, longest)
  return plain.test(short) ? `"${short}"` : json(short)
}

/** JSON in ASCII. */
function json(value: unknown): string {
  return JSON.stringify(value).replace(/[^\x20-\x7e]/g, escapeUnit)
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The members of an object without its braces. */
function inner(value: object): string {
  return json(value).slice(1, -1)
}
