import type { Clock, Timer } from '../core/clock.ts'

/** The TCP connection, and the TLS on it: of what came, the second counts only what is for the application. */
export interface TlsConnection {
  readonly raw: { readonly bytesRead: number; readonly remoteAddress?: string | undefined }
  readonly secure: {
    readonly bytesRead: number
    readonly writable: boolean
    write(bytes: Buffer, onWritten: () => void): boolean
    once(event: 'close', listener: () => void): unknown
    destroy(): unknown
  }
}

export interface UnreadAnswersOptions {
  readonly clock: Clock
  /** A connection is about to be ended. */
  readonly onEnd: (connection: TlsConnection) => void
}

const sweepEveryMs = 1_000

/** Bytes that are TLS's own; who stays below it is not asked whether it reads. Records of honest callers come to it in time. */
const unquestionedBytes = 64 * 1024

/**
 * Bytes that are TLS's own while the other end takes nothing of what waits for it. That is 190 MiB of an honest upload in records
 * of the largest size, whose sender has not read one reply.
 */
const mostUnreadBytes = 256 * 1024

const nothing = Buffer.alloc(0)

/**
 * TLS answers by itself: a request for new keys in TLS 1.3 (RFC 8446 4.6.3), a renegotiation that is refused in TLS 1.2. Each answer
 * is as large as its question, and OpenSSL keeps what the other end does not read, where no back-pressure of ours sees it. So who
 * sends much that carries no data is asked whether it reads: a write of nothing is done when all before it has left. Until then it
 * may go on only so far.
 */
export class UnreadAnswers {
  readonly #options: UnreadAnswersOptions
  readonly #members = new Map<TlsConnection, Watch>()
  #timer: Timer | undefined

  constructor(options: UnreadAnswersOptions) {
    this.#options = options
  }

  /** Until it is closed. */
  watch(connection: TlsConnection): void {
    this.#members.set(connection, { markBytes: overheadOf(connection), isAsked: false })
    connection.secure.once('close', () => this.#members.delete(connection))
    if (this.#timer === undefined) this.#schedule()
  }

  #schedule(): void {
    this.#timer = this.#options.clock.setTimer(sweepEveryMs, this.#sweep)
  }

  readonly #sweep = (): void => {
    const { onEnd } = this.#options
    this.#timer = undefined
    if (this.#members.size > 0) this.#schedule()
    for (const [connection, watch] of this.#members) {
      const unreadBytes = overheadOf(connection) - watch.markBytes
      if (unreadBytes <= unquestionedBytes) continue
      if (!watch.isAsked) {
        ask(connection, watch)
      } else if (unreadBytes > mostUnreadBytes) {
        this.#members.delete(connection)
        onEnd(connection)
        connection.secure.destroy()
      }
    }
  }
}

interface Watch {
  /** What had come that was TLS's own when the other end was last known to read. */
  markBytes: number
  /** Something waits for the other end to read. */
  isAsked: boolean
}

function ask(connection: TlsConnection, watch: Watch): void {
  const { secure } = connection
  watch.isAsked = true
  watch.markBytes = overheadOf(connection)
  // What has been ended by us is over soon, and takes no more writes.
  if (!secure.writable) return
  secure.write(nothing, () => {
    watch.isAsked = false
    watch.markBytes = overheadOf(connection)
  })
}

function overheadOf({ raw, secure }: TlsConnection): number {
  return raw.bytesRead - secure.bytesRead
}
