import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface HalfOpenTask {
  readonly port: number
  /** Of loopback, from which to connect. */
  readonly addresses: readonly string[]
  readonly perAddress: number
  /** What every second connection sends; the others send nothing. Base64. */
  readonly bytes: string
}

export interface HalfOpenReport {
  /** Connections that were opened, and of these the ones that the other end has closed. */
  readonly opened: number
  readonly closed: number
}

/** A process of its own, because its sockets count against what one process may have. */
process.once('message', (task: HalfOpenTask) => void open(task))

const atOnce = 100

async function open({ port, addresses, perAddress, bytes }: HalfOpenTask): Promise<void> {
  let opened = 0
  let closed = 0
  process.on('message', () => process.send?.({ opened, closed } satisfies HalfOpenReport))
  const hello = Buffer.from(bytes, 'base64')
  for (const localAddress of addresses) {
    for (let i = 0; i < perAddress; i += atOnce) {
      const sockets = Array.from({ length: Math.min(atOnce, perAddress - i) }, (_, index) => {
        const socket = connect({ port, host: '127.0.0.1', localAddress })
        socket.on('error', () => undefined)
        socket.once('close', () => closed++)
        socket.resume()
        return index % 2 === 0 ? socket : saying(socket, hello)
      })
      await Promise.all(sockets.map((socket) => once(socket, 'connect')))
      opened += sockets.length
    }
  }
}

function saying(socket: Socket, bytes: Buffer): Socket {
  socket.write(bytes)
  return socket
}
