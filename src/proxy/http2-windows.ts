import { largest31, protocolWindowBytes } from '../http2/frames.ts'

/**
 * The window of a connection whose streams may all stand still with full windows and leave room for one that moves. Twice their sum,
 * because up to half of a connection's window is not given back yet (receive-window.ts).
 */
export function connectionWindowFor(streams: number, streamWindowBytes: number): number {
  const sum = Math.max((streams + 1) * streamWindowBytes, protocolWindowBytes)
  return Math.min(2 * sum, largest31)
}
