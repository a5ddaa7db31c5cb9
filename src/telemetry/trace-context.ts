/** The caller's span as its `traceparent` names it. */
export interface CallerSpan {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
  /** The field as version 00, with the flags that we know: what a proxy that records nothing hands on. */
  readonly traceparent: string
}

// W3C Trace Context 3.2.2: lower case only, ids that are not all zero. Groups: version, trace id, parent id, flags.
const traceparentShape =
  /^([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})/
const lengthOfVersion00 = 55

const sampledFlag = 0x01
/** Level 2: the id was drawn at random. It says something of the trace id, so whoever keeps the id keeps the flag. */
const randomFlag = 0x02

/** Reads a `traceparent` (W3C Trace Context 3.2). Undefined when it is absent or breaks a rule: then a new trace starts. */
export function parseTraceparent(text: string | undefined): CallerSpan | undefined {
  if (text === undefined) return undefined
  const match = traceparentShape.exec(text)
  if (match === null) return undefined
  const [, version = '', traceId = '', spanId = '', flagDigits = ''] = match
  if (!hasLengthOf(version, text)) return undefined
  const flags = Number.parseInt(flagDigits, 16)
  const knownFlags = flags & (sampledFlag | randomFlag)
  const isCanonical = version === '00' && flags === knownFlags
  return {
    traceId,
    spanId,
    sampled: (flags & sampledFlag) !== 0,
    traceparent: isCanonical ? text : `00-${traceId}-${spanId}-0${knownFlags}`,
  }
}

/** 3.2.1: version ff is invalid; a later version may append fields, each after a dash. */
function hasLengthOf(version: string, text: string): boolean {
  if (version === '00') return text.length === lengthOfVersion00
  if (version === 'ff') return false
  return text.length === lengthOfVersion00 || text[lengthOfVersion00] === '-'
}

/** A `traceparent` of our own span. */
export function formatTraceparent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`
}

/** The same trace and the same caller's span, said to be unsampled by us. */
export function unsampled(caller: CallerSpan): string {
  return caller.sampled
    ? formatTraceparent(caller.traceId, caller.spanId, false)
    : caller.traceparent
}

// W3C Trace Context 3.3.1.3 with the keys of level 2.
const memberShape =
  /^[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/
const mostMembers = 32
const longestTracestate = 16_384
const longestHandedOn = 512
const longMember = 128

/**
 * Reads a `tracestate` (W3C Trace Context 3.3). Undefined when it is absent, empty or breaks a rule. Hands on at most 512
 * characters: whole members go, the long ones first, then from the end (3.3.1.5).
 */
export function parseTracestate(text: string | undefined): string | undefined {
  if (text === undefined || text === '' || text.length > longestTracestate) return undefined
  const members = text
    .split(',')
    .map(trimBlanks)
    .filter((member) => member !== '')
  if (members.length === 0 || members.length > mostMembers) return undefined
  if (!members.every((member) => memberShape.test(member))) return undefined
  const keys = new Set(members.map((member) => member.slice(0, member.indexOf('='))))
  return keys.size === members.length ? shorten(members) : undefined
}

/** Blanks and tabs only: `trim` would also take what no header may hold. */
function trimBlanks(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')
}

function shorten(members: readonly string[]): string | undefined {
  const all = members.join(',')
  if (all.length <= longestHandedOn) return all
  const kept = members.filter((member) => member.length <= longMember)
  while (kept.join(',').length > longestHandedOn) kept.pop()
  return kept.length === 0 ? undefined : kept.join(',')
}
