/** Fields that decide how a message is framed, routed or kept on its connection; all others are `other`. */
export type FieldKind =
  | 'host'
  | 'content-length'
  | 'transfer-encoding'
  | 'connection'
  | 'expect'
  | 'upgrade'
  | 'keep-alive'
  | 'other'

/** What is known of a field by its name alone. */
export interface FieldName {
  /** As sent. */
  readonly text: string
  readonly kind: FieldKind
  readonly mayBeTrailer: boolean
}

const tokenShape = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Names come from outside: at most so many are remembered, of at most so many characters. */
const rememberedNames = 1_024
const longestRememberedName = 64

/**
 * What was found for each name, by the name as sent, so that checking and lower-casing happen once per spelling and not per
 * request (0.1 us a field). A memo of a pure function: it changes no answer.
 */
const remembered = new Map<string, FieldName>()

/** Undefined when `text` is no token, RFC 9110 5.6.2. */
export function fieldNameOf(text: string): FieldName | undefined {
  return remembered.get(text) ?? classify(text)
}

/** Whether `text` is a token, RFC 9110 5.6.2. */
export function isToken(text: string): boolean {
  return tokenShape.test(text)
}

function classify(text: string): FieldName | undefined {
  if (!isToken(text)) return undefined
  const lower = text.toLowerCase()
  const name = { text, kind: kindOf(lower), mayBeTrailer: !forbiddenInTrailers.has(lower) }
  return text.length > longestRememberedName ? name : remember(name)
}

function remember(name: FieldName): FieldName {
  // A flood of invented names costs the others one look each, and is over when the map starts anew.
  if (remembered.size >= rememberedNames) remembered.clear()
  // A slice keeps the whole head alive that it was cut from: remember a copy.
  const copied = { ...name, text: Buffer.from(name.text, 'latin1').toString('latin1') }
  remembered.set(copied.text, copied)
  return copied
}

function kindOf(lower: string): FieldKind {
  switch (lower) {
    case 'host':
    case 'content-length':
    case 'transfer-encoding':
    case 'connection':
    case 'expect':
    case 'upgrade':
    case 'keep-alive':
      return lower
    default:
      return 'other'
  }
}

/**
 * Framing, routing, request modifiers, authentication, and what tells how to read the content: a recipient that merges trailers
 * into the head would be led by them (RFC 9110 6.5.1).
 */
const forbiddenInTrailers = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'warning',
  'www-authenticate',
])
