import type { Socket } from 'node:net'
import { IpAddress } from '../core/ip-address.ts'

/** Where a caller connects from: its own end of the connection, or what a balancer of ours says. */
export interface Client {
  /** Undefined when the connection was gone before anybody could ask. */
  readonly address: IpAddress | undefined
  /** Of the address; `unknown` without one. */
  readonly text: string
  readonly port: number
}

/** The other end of the socket. */
export function clientOf(socket: Socket): Client {
  // The zone of a link-local address says which of our interfaces it came by.
  const text = socket.remoteAddress?.replace(/%.*$/, '') ?? ''
  return clientAt(IpAddress.parse(text), socket.remotePort ?? 0)
}

export function clientAt(address: IpAddress | undefined, port: number): Client {
  return { address, text: address?.toString() ?? 'unknown', port }
}
