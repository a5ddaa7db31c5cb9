/** Bytes that may wait for the other side before this one is read no further. */
const windowBytes = 128 * 1024

/**
 * What was read from one side of an exchange and not yet taken by the other: the bound on what an exchange holds in each
 * direction. Reading stops when it is full and goes on when half of it has left, so that it does not stop and go with every chunk.
 */
export class ReadWindow {
  #waitingBytes = 0

  get isFull(): boolean {
    return this.#waitingBytes >= windowBytes
  }

  get isHalfEmpty(): boolean {
    return this.#waitingBytes < windowBytes / 2
  }

  /** So much was read. */
  add(bytes: number): void {
    this.#waitingBytes += bytes
  }

  /** So much was taken. */
  take(bytes: number): void {
    this.#waitingBytes -= bytes
  }

  /** Another message begins, or nobody waits for the rest of this one. */
  clear(): void {
    this.#waitingBytes = 0
  }
}
