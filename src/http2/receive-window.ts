/**
 * The receiving side of a connection's flow control, RFC 9113 6.9: what the peer may still send, and when to give back what was
 * used up (at half the window, so that WINDOW_UPDATEs stay few and the peer never waits for one).
 */
export class ReceiveWindow {
  readonly #size: number
  #left: number
  #uncredited = 0

  constructor(size: number) {
    this.#size = size
    this.#left = size
  }

  /** False: the peer sent more than it may. */
  take(bytes: number): boolean {
    this.#left -= bytes
    return this.#left >= 0
  }

  /** These bytes are done with. Returns the increment to send now, or 0. */
  giveBack(bytes: number): number {
    this.#uncredited += bytes
    if (this.#uncredited * 2 < this.#size) return 0
    const increment = this.#uncredited
    this.#uncredited = 0
    this.#left += increment
    return increment
  }
}
