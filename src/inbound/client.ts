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

/** So many addresses are kept; then it begins anew. */
const rememberedAddresses = 1_000

/** What socket addresses are, parsed once: callers come again, and reading one costs more than anything else of an accept. */
const addresses = new Map<string, IpAddress | undefined>()

/** The other end of the socket. */
export function clientOf(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): Client {
  return clientAt(addressOf(socket.remoteAddress ?? ''), socket.remotePort ?? 0)
}

function addressOf(text: string): IpAddress | undefined {
  if (addresses.has(text)) return addresses.get(text)
  if (addresses.size >= rememberedAddresses) addresses.clear()
  // The zone of a link-local address says which of our interfaces it came by.
  const address = IpAddress.parse(text.replace(/%.*$/, ''))
  addresses.set(text, address)
  return address
}

export function clientAt(address: IpAddress | undefined, port: number): Client {
  return { address, text: address?.toString() ?? 'unknown', port }
}
