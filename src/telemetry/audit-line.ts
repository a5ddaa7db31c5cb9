import type { Decision, Step } from '../policy/decision.ts'
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
import type { DecisionRecord, Outcome, RecordedRequest } from './telemetry.ts'

/**
 * The audit log, one JSON object a line, in this order (`?`: left out where there is nothing to say):
 *
 *     time, id, trace, direction, protocol,
 *     client: { address, port },
 *     peer: { kind: plaintext | anonymous }
 *         | { kind: svid, spiffe_id, subject, issuer, chain: [sha256 leaf first], not_after, authorities }
 *         | { kind: certificate, principal, subject, issuer, chain, not_after, authorities }
 *         | { kind: untrusted, reason, detail, claimed: { subject?, issuer?, spiffe_id?, sha256?, not_after? } },
 *     request?: { method, host, path, truncated? },
 *     decision: { outcome, reason, status?, retry_after?, product?, principal?, consumer?, credential?, key?, rule?,
 *                 upstream?, epoch, key_warned?, ignored_certificate?, steps: [{ name, outcome, detail }] },
 *     status?, request_bytes, reply_bytes, duration_ms, error?
 *
 * `time` is when it was decided. `chain` names the validated path, the anchor last. `key` is the id of the API key. Times are
 * RFC 3339 in UTC. Every text is bounded; what is neither printable ASCII nor a letter beyond it is escaped, so that no
 * line can forge another or steer a terminal.
 *
 * Written by hand because it is on the path of every request: `JSON.stringify` of the same object takes twice as long
 * (bench/records.ts). A test parses every line back.
 */
export class AuditLines {
  readonly #peers = new WeakMap<Peer, string>()
  #timeMs = Number.NaN
  #time = ''

  /** One line with its line feed. */
  render(traceId: string, record: DecisionRecord, outcome: Outcome): string {
    return (
      `{"time":"${this.#timeOf(record.atMs)}","id":${quote(record.id, longestWord)},"trace":"${traceId}"` +
      `,"direction":"${record.direction}","protocol":"${record.protocol}"` +
      `,"client":{"address":${quote(record.clientAddress, longestWord)},"port":${record.clientPort}}` +
      `,"peer":${this.#peerOf(record.peer)}` +
      (record.request === undefined ? '' : `,"request":${renderRequest(record.request)}`) +
      `,"decision":${renderDecision(record.decision)}${renderOutcome(outcome)}}\n`
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
  #peerOf(peer: Peer): string {
    const known = this.#peers.get(peer)
    if (known !== undefined) return known
    const text = JSON.stringify(describePeer(peer)).replace(unprintable, escape)
    this.#peers.set(peer, text)
    return text
  }
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

function describeClaimed({ subject, issuer, spiffeId, sha256, notAfterMs }: ClaimedIdentity) {
  return {
    subject: subject === undefined ? undefined : bounded(subject, longestName),
    issuer: issuer === undefined ? undefined : bounded(issuer, longestName),
    spiffe_id: spiffeId === undefined ? undefined : bounded(spiffeId, longestSpiffeId),
    sha256: sha256 === undefined ? undefined : bounded(sha256, longestWord),
    not_after: notAfterMs === undefined ? undefined : isoTime(notAfterMs),
  }
}

function renderRequest({ method, host, path }: RecordedRequest): string {
  const isWhole =
    method.length <= longestMethod && host.length <= longestHost && path.length <= longestPath
  return (
    `{"method":${quote(method, longestMethod)},"host":${quote(host, longestHost)}` +
    `,"path":${quote(recordedPath(path), longestPath)}${isWhole ? '' : ',"truncated":true'}}`
  )
}

function renderDecision(decision: Decision): string {
  return (
    `{"outcome":"${decision.outcome}","reason":"${decision.reason}"` +
    renderAnswer(decision) +
    optional('product', decision.product, longestWord) +
    optional('principal', decision.principal, longestSpiffeId) +
    optional('consumer', decision.consumer, longestWord) +
    optional('credential', decision.credential, longestWord) +
    optional('key', decision.apiKeyId, longestWord) +
    optional('rule', decision.rule, longestSpiffeId) +
    `,"epoch":${decision.epoch}` +
    (decision.apiKeyWarned === true ? ',"key_warned":true' : '') +
    optional('ignored_certificate', decision.ignoredCertificate, longestWord) +
    `,"steps":${renderSteps(decision.steps)}}`
  )
}

function renderAnswer(decision: Decision): string {
  if (decision.outcome === 'allow') return optional('upstream', decision.upstream, longestWord)
  const { status, retryAfterSeconds } = decision
  return (
    `,"status":${status}` +
    (retryAfterSeconds === undefined ? '' : `,"retry_after":${retryAfterSeconds}`)
  )
}

const mostSteps = 16

function renderSteps(steps: readonly Step[]): string {
  let text = '['
  for (let i = 0; i < steps.length && i < mostSteps; i++) {
    const step = steps[i]
    if (step === undefined) continue
    if (i > 0) text += ','
    text += `{"name":"${step.name}","outcome":"${step.outcome}","detail":${quote(step.detail, longestDetail)}}`
  }
  return text + ']'
}

function renderOutcome({ status, requestBytes, replyBytes, durationMs, error }: Outcome): string {
  return (
    (status === 0 ? '' : `,"status":${status}`) +
    `,"request_bytes":${requestBytes},"reply_bytes":${replyBytes}` +
    `,"duration_ms":${milliseconds(durationMs)}${optional('error', error, longestWord)}`
  )
}

/** Microseconds are kept. A duration that is no number must not break the line. */
function milliseconds(durationMs: number): number {
  return Number.isFinite(durationMs) ? Math.round(durationMs * 1_000) / 1_000 : 0
}

function optional(name: string, value: string | undefined, longest: number): string {
  return value === undefined ? '' : `,"${name}":${quote(value, longest)}`
}

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/
// Control characters that JSON lets pass, and line separators that some readers of lines take for an end.
const unprintable = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g

/** A JSON string of at most `longest` characters of `text`. */
function quote(text: string, longest: number): string {
  const short = bounded(text, longest)
  if (plain.test(short)) return `"${short}"`
  return JSON.stringify(short).replace(unprintable, escape)
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
