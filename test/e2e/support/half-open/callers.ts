import { once } from 'node:events'
import { connect } from 'node:net'

export interface HalfOpenTask {
  readonly port: number
  /** Of loopback, from which to connect in turn. */
  readonly addresses: readonly string[]
  /** What every second connection sends; the others send nothing. Base64. */
  readonly bytes: string
}

/** What is asked of this process after its task: so many connections more, then a report. */
export interface HalfOpenOrder {
  readonly more: number
}

export interface HalfOpenReport {
  /** Connections that were opened, and of these the ones that the other end has closed. */
  readonly opened: number
  readonly closed: number
}

/** A process of its own, because its sockets count against what one process may have. */
process.once('message', (task: HalfOpenTask) => {
  const caller = new HalfOpenCaller(task)
  process.on('message', (order: HalfOpenOrder) => void caller.obey(order))
})

class HalfOpenCaller {
  readonly #task: HalfOpenTask
  readonly #hello: Buffer
  #begun = 0
  #opened = 0
  #closed = 0

  constructor(task: HalfOpenTask) {
    this.#task = task
    this.#hello = Buffer.from(task.bytes, 'base64')
  }

  async obey({ more }: HalfOpenOrder): Promise<void> {
    await Promise.all(Array.from({ length: more }, () => this.#open(this.#begun++)))
    process.send?.({ opened: this.#opened, closed: this.#closed } satisfies HalfOpenReport)
  }

  async #open(index: number): Promise<void> {
    const { port, addresses } = this.#task
    const localAddress = addresses[index % addresses.length]!
    for (;;) {
      const socket = connect({ port, host: '127.0.0.1', localAddress })
      try {
        await once(socket, 'connect')
      } catch {
        // The kernel may be too busy for one of so many.
        continue
      }
      this.#opened++
      socket.on('error', () => undefined)
      socket.once('close', () => this.#closed++)
      socket.resume()
      if (index % 2 === 1) socket.write(this.#hello)
      return
    }
  }
}
