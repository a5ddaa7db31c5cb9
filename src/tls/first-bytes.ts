import type { Socket } from 'node:net'

/** What the first bytes of a connection begin: a TLS record, the preface of HTTP/2 with prior knowledge, or HTTP/1.1. */
export type FirstBytes = 'tls' | 'h2' | 'http/1.1'

/** TLS record of type handshake (RFC 8446 5.1). */
const handshakeRecord = 0x16

/** No method of HTTP/1.1 begins like the preface of RFC 9113 3.4, which was chosen for that. */
const preface = Buffer.from('PRI * HTTP/2.0')

/**
 * Reads as many bytes as it takes to tell, gives them back to the socket, pauses it and calls `onKnown` once. Whoever is
 * called attaches its listeners and resumes. The caller bounds the wait: nothing here has a clock.
 */
export function detectFirstBytes(socket: Socket, onKnown: (kind: FirstBytes) => void): void {
  let seen: Buffer = Buffer.alloc(0)
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const kind = kindOf(seen)
    if (kind === undefined) return
    socket.off('data', onData)
    socket.pause()
    socket.unshift(seen)
    onKnown(kind)
  }
  socket.on('data', onData)
}

function kindOf(bytes: Buffer): FirstBytes | undefined {
  if (bytes[0] === handshakeRecord) return 'tls'
  const compared = Math.min(bytes.length, preface.length)
  if (preface.compare(bytes, 0, compared, 0, compared) !== 0) return 'http/1.1'
  return compared === preface.length ? 'h2' : undefined
}
