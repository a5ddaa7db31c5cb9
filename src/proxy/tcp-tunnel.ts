import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { cut } from './cut.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import { guarded } from './guarded.ts'

/** How a tunnel ended. */
export interface TunnelOutcome {
  /** Bytes from the caller. */
  readonly requestBytes: number
  /** Bytes from the workload. */
  readonly replyBytes: number
  /** Absent when both sides ended in order. */
  readonly error?: TunnelError
}

/** `idle`: nothing moved for too long; `cut`: its owner ended it. */
export type TunnelError =
  'downstream_aborted' | 'upstream_unavailable' | 'upstream_reset' | 'idle' | 'cut'

export interface TunnelOptions {
  /** Made with `allowHalfOpen`. */
  readonly downstream: Duplex
  /** Made with `allowHalfOpen`; may still be connecting. */
  readonly upstream: Socket
  readonly deadlines: Deadlines
  readonly connectTimeoutMs: number
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number
  /** Exactly once, when both sockets are gone. */
  readonly onEnd: (outcome: TunnelOutcome) => void
  /** Told of an exception that should not be possible; this tunnel ends, the others live on. */
  readonly onBug: (error: unknown) => void
}

/**
 * Joins two sockets byte for byte. Back-pressure holds in both directions and half-close is kept. When one side breaks, the
 * other is cut: a clean end would claim that all had arrived.
 */
export class TcpTunnel implements Deadline {
  deadlineMs: number
  readonly deadlineReached: () => void
  readonly #options: TunnelOptions
  #isConnected: boolean
  #requestBytes = 0
  #replyBytes = 0
  #openSockets = 2
  #error: TunnelError | undefined

  constructor(options: TunnelOptions) {
    const { downstream, upstream, deadlines } = options
    this.#options = options
    this.#isConnected = !upstream.connecting
    this.deadlineReached = this.#guarded(() => this.#expire())
    this.deadlineMs = deadlines.nowMs() + options.connectTimeoutMs
    deadlines.add(this)
    upstream.setNoDelay(true)
    if (this.#isConnected) this.#postpone()
    else upstream.once('connect', () => this.#onConnect())
    this.#move(downstream, upstream, (bytes) => (this.#requestBytes += bytes))
    this.#move(upstream, downstream, (bytes) => (this.#replyBytes += bytes))
    this.#watch(downstream, upstream, () => 'downstream_aborted')
    this.#watch(upstream, downstream, () =>
      this.#isConnected ? 'upstream_reset' : 'upstream_unavailable',
    )
  }

  /** Cuts both sides. */
  destroy(): void {
    this.#cutBoth('cut')
  }

  #onConnect(): void {
    this.#isConnected = true
    this.#postpone()
  }

  #move(from: Duplex, to: Duplex, count: (bytes: number) => void): void {
    const onData = (chunk: Buffer) => {
      count(chunk.length)
      this.#postpone()
      if (!to.write(chunk)) from.pause()
    }
    const onDrain = () => {
      this.#postpone()
      from.resume()
    }
    from.on('data', this.#guarded(onData))
    to.on('drain', this.#guarded(onDrain))
    from.on('end', () => to.end())
  }

  #watch(socket: Duplex, other: Duplex, error: () => TunnelError): void {
    socket.on('error', () => {
      this.#error ??= error()
      socket.destroy()
    })
    const onClose = () => {
      if (!socket.readableEnded || !socket.writableFinished) {
        this.#error ??= error()
        cut(other)
      }
      this.#closed()
    }
    socket.on('close', this.#guarded(onClose))
  }

  #closed(): void {
    this.#openSockets--
    if (this.#openSockets > 0) return
    this.#options.deadlines.delete(this)
    this.#options.onEnd({
      requestBytes: this.#requestBytes,
      replyBytes: this.#replyBytes,
      ...(this.#error === undefined ? {} : { error: this.#error }),
    })
  }

  #expire(): void {
    this.#cutBoth(this.#isConnected ? 'idle' : 'upstream_unavailable')
  }

  #cutBoth(error: TunnelError): void {
    this.#error ??= error
    cut(this.#options.downstream)
    cut(this.#options.upstream)
  }

  /** A byte moved. While the workload is dialled only the time for that counts. */
  #postpone(): void {
    const { deadlines, idleTimeoutMs } = this.#options
    if (this.#isConnected) this.deadlineMs = deadlines.nowMs() + idleTimeoutMs
  }

  #guarded<Arguments extends unknown[]>(
    listener: (...values: Arguments) => void,
  ): (...values: Arguments) => void {
    const { onBug } = this.#options
    return guarded((error) => {
      onBug(error)
      this.#cutBoth('cut')
    }, listener)
  }
}
