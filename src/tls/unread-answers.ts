import type { Clock } from '../core/clock.ts'
import { Sweep } from '../core/sweep.ts'

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
  readonly #onEnd: UnreadAnswersOptions['onEnd']
  readonly #watches = new Set<Watch>()
  readonly #sweep: Sweep<Watch>

  constructor({ clock, onEnd }: UnreadAnswersOptions) {
    this.#onEnd = onEnd
    this.#sweep = new Sweep({
      clock,
      members: this.#watches,
      everyMs: sweepEveryMs,
      visit: (watch) => this.#look(watch),
    })
  }

  /** Until it is closed. */
  watch(connection: TlsConnection): void {
    const watch = { connection, markBytes: overheadOf(connection), isAsked: false }
    this.#watches.add(watch)
    connection.secure.once('close', () => this.#watches.delete(watch))
    this.#sweep.wake()
  }

  #look(watch: Watch): void {
    const { connection, markBytes, isAsked } = watch
    const unreadBytes = overheadOf(connection) - markBytes
    if (unreadBytes <= unquestionedBytes) return
    if (!isAsked) {
      ask(watch)
    } else if (unreadBytes > mostUnreadBytes) {
      this.#watches.delete(watch)
      this.#onEnd(connection)
      connection.secure.destroy()
    }
  }
}

interface Watch {
  readonly connection: TlsConnection
  /** What had come that was TLS's own when the other end was last known to read. */
  markBytes: number
  /** Something waits for the other end to read. */
  isAsked: boolean
}

function ask(watch: Watch): void {
  const { connection } = watch
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
