import type { Duplex } from 'node:stream'

/** Up to here copying into one buffer is cheaper than one more write to a TLS socket (each becomes a record of its own). */
const copyLimitBytes = 16 * 1024

/**
 * Collects what one turn wants to write, so that head and body leave in one write. Texts are Latin-1.
 */
export class WriteBatch {
  #parts: (string | Buffer)[] = []
  #bytes = 0

  get isEmpty(): boolean {
    return this.#parts.length === 0
  }

  /** More would no longer leave in one write. */
  get isFull(): boolean {
    return this.#bytes >= copyLimitBytes
  }

  add(part: string | Buffer): void {
    this.#parts.push(part)
    this.#bytes += part.length
  }

  /** Writes everything that was collected. Returns false when the socket asks to wait for `drain`. */
  flushTo(socket: Duplex): boolean {
    const parts = this.#parts
    const first = parts[0]
    if (first === undefined) return !socket.writableNeedDrain
    const bytes = this.#bytes
    this.#parts = []
    this.#bytes = 0
    if (parts.length === 1) return write(socket, first)
    if (bytes <= copyLimitBytes) return socket.write(joined(parts, bytes))
    socket.cork()
    let canTakeMore = true
    for (const part of parts) canTakeMore = write(socket, part)
    socket.uncork()
    return canTakeMore
  }
}

function write(socket: Duplex, part: string | Buffer): boolean {
  return typeof part === 'string' ? socket.write(part, 'latin1') : socket.write(part)
}

function joined(parts: readonly (string | Buffer)[], bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const part of parts) {
    if (typeof part === 'string') at += buffer.write(part, at, 'latin1')
    else at += part.copy(buffer, at)
  }
  return buffer
}
