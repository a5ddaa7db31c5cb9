import { Duplex } from 'node:stream'

/** A socket whose kernel takes what the test lets it take. */
export class SinkSocket extends Duplex {
  /** What was taken, one entry a write. */
  readonly writes: string[] = []
  #isBlocked = false
  #waiting: (() => void) | undefined

  constructor() {
    super({ highWaterMark: 16 * 1024, readableHighWaterMark: 16 * 1024 })
  }

  /** From the next write on the kernel takes nothing, until `unblock`. */
  block(): void {
    this.#isBlocked = true
  }

  unblock(): void {
    this.#isBlocked = false
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }

  override _read(): void {
    // The test pushes.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.writes.push(chunk.toString('latin1'))
    this.#take(done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.writes.push(Buffer.concat(chunks.map(({ chunk }) => chunk)).toString('latin1'))
    this.#take(done)
  }

  #take(done: () => void): void {
    if (this.#isBlocked) this.#waiting = done
    else done()
  }
}
