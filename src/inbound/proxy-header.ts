import type { Socket } from 'node:net'
import type { ProxyHeader } from '../proxy-protocol/header.ts'
import { readProxyHeader } from '../proxy-protocol/read-header.ts'

/** Anything but `incomplete`. */
export type WholeProxyHeader = Exclude<ProxyHeader, { kind: 'incomplete' }>

/**
 * Reads the header with which a balancer begins a connection and calls `onHeader` once. What follows it is given back to the
 * socket, which is paused. The caller bounds the time, the header its own length.
 */
export function awaitProxyHeader(
  socket: Socket,
  onHeader: (header: WholeProxyHeader) => void,
): void {
  let seen: Buffer = Buffer.alloc(0)
  const onData = (chunk: Buffer): void => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk])
    const header = readProxyHeader(seen)
    if (header.kind === 'incomplete') return
    socket.off('data', onData)
    socket.pause()
    const rest = header.kind === 'malformed' ? seen : seen.subarray(header.length)
    if (rest.length > 0) socket.unshift(rest)
    onHeader(header)
  }
  socket.on('data', onData)
}
