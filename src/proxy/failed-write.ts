import type { Socket } from 'node:net'

/**
 * Keeps a socket open after a write to it failed. A server that answers early and closes resets the connection under what is still
 * being sent, and Node destroys a socket at the first failed write (lib/internal/streams/destroy.js, `errorOrDestroy`), with the
 * reply unread in the kernel. With this `onFailed` is called instead, possibly more than once; whoever calls it stops writing,
 * reads on for a while and then destroys the socket. Reading on takes `onread`: Node's streams pass on nothing after an error.
 */
export function surviveFailedWrite(socket: Socket, onFailed: () => void): void {
  const destroy = socket.destroy.bind(socket)
  socket.destroy = (error?: Error) => {
    if (!isFailedWrite(error)) return destroy(error)
    onFailed()
    return socket
  }
}

function isFailedWrite(error: NodeJS.ErrnoException | undefined): boolean {
  return error?.syscall === 'write' && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}
