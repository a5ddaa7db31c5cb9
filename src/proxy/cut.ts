import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'

/** TCP tells a cut from an end by a reset. TLS needs none: it ends without its close_notify, and a `TLSSocket` cannot send one. */
export function cut(socket: Duplex): void {
  if (socket.destroyed) return
  if (socket instanceof Socket && !(socket instanceof TLSSocket) && isTcp(socket)) {
    socket.resetAndDestroy()
  } else {
    socket.destroy()
  }
}

/** Connected, and not a Unix socket. */
function isTcp(socket: Socket): boolean {
  return socket.remoteFamily !== undefined
}
