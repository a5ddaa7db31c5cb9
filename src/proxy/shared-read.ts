import type { OnReadOpts } from 'node:net'

/** At most so much is read in one go, as Node does. */
const readBytes = 64 * 1024

const memory = Buffer.allocUnsafeSlow(readBytes)

/**
 * For the options of `connect` from `node:net`: all sockets read into the same memory, and `onBytes` gets a copy that is its own.
 * Node else takes 64 KiB for each read, however little comes, and a way through its streams.
 */
export function sharedRead(onBytes: (chunk: Buffer) => void): OnReadOpts {
  return {
    buffer: memory,
    callback: (bytes) => {
      const chunk = Buffer.allocUnsafe(bytes)
      memory.copy(chunk, 0, 0, bytes)
      onBytes(chunk)
      return true
    },
  }
}
