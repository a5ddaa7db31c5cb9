import type { Manner } from './hpack/encoder.ts'

/** How the fields of a reply leave: credentials never enter a table, connection-specific fields never leave (RFC 9113 8.2.2). */
export const replyManners: ReadonlyMap<string, Manner> = new Map<string, Manner>([
  ['authorization', 'secret'],
  ['proxy-authorization', 'secret'],
  ['x-api-key', 'secret'],
  ['set-cookie', 'secret'],
  ['cookie', 'short-secret'],
  ['connection', 'dropped'],
  ['keep-alive', 'dropped'],
  ['proxy-connection', 'dropped'],
  ['transfer-encoding', 'dropped'],
  ['upgrade', 'dropped'],
])

/** The same for a request, where `:authority` says what Host would. */
export const requestManners: ReadonlyMap<string, Manner> = new Map<string, Manner>([
  ...replyManners,
  ['host', 'dropped'],
])
