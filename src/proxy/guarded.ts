import type { Duplex } from 'node:stream'

/** Told of an exception that should not be possible. */
export type BugReport = (error: unknown) => void

/**
 * A listener that hands what it throws to `onBug`. Nobody stands above a socket's event or a timer: an exception there would end
 * the process, and with it every other connection.
 */
export function guarded<Arguments extends unknown[]>(
  onBug: BugReport,
  listener: (...values: Arguments) => void,
): (...values: Arguments) => void {
  return (...values) => {
    try {
      listener(...values)
    } catch (error) {
      onBug(error)
    }
  }
}

/** What an end wants to know of its socket. */
export interface SocketListeners {
  readonly onBytes: (chunk: Buffer) => void
  readonly onDrain: () => void
  /** The other side has ended its half. */
  readonly onFin: () => void
  /** Broken or closed; at least once. */
  readonly onLost: (detail: string) => void
}

/** Listens to everything that a socket says, guarded. */
export function listen(socket: Duplex, onBug: BugReport, listeners: SocketListeners): void {
  const { onBytes, onDrain, onFin, onLost } = listeners
  socket.on('data', guarded(onBug, onBytes))
  socket.on('drain', guarded(onBug, onDrain))
  socket.on('end', guarded(onBug, onFin))
  const lost = guarded(onBug, onLost)
  socket.on('error', (error) => lost(error.message))
  socket.on('close', () => lost('the connection was lost'))
}
