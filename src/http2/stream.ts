import type { Fields } from '../core/fields.ts'
import type { Listed, StreamList } from './stream-list.ts'

/** RFC 9113 5.1. Idle streams are no objects, and reserved ones do not exist because push is off. */
export type StreamState = 'open' | 'half-closed-local' | 'half-closed-remote' | 'closed'

/**
 * One request and its reply. The owner hangs its own object on `context` and reads the rest; everything else belongs to the
 * connection. Plain fields, because a stream is made for every request.
 */
export class Http2Stream<Context> implements Listed<Http2Stream<Context>> {
  readonly id: number
  /** The owner's. */
  context: Context | undefined
  /** Bytes given to `sendData` that have not left through `takeOutput`. */
  bufferedBytes = 0
  /** What the last received head's content-length said, or -1. */
  contentLength = -1
  /** Names of the last received head that came as never-indexed literals (RFC 7541 6.2.3). */
  receivedNeverIndexed: readonly string[] = noNames
  /** Set by the owner: names that leave as such, so that an intermediary keeps the peer's wish. */
  neverIndexed: readonly string[] = noNames

  /** END_STREAM has come. */
  isRemoteEnded = false
  /** A final head has left. */
  hasLocalHead = false
  /** END_STREAM has left. */
  isLocalEnded = false
  isClosed = false
  /** A final head has come: a request's, or a reply's from 200 on. */
  hasRemoteHead = false
  /** DATA is counted and thrown away: the request was refused. */
  isDiscarding = false
  /** Its method was HEAD: no DATA answers it, whatever content-length says. */
  isHead = false
  /** How long the body has to be, or -1. */
  expectedBytes = -1
  receivedBytes = 0

  sendWindow: number
  receiveWindow: number
  /** Handed to the owner and not yet `consumed`. */
  unconsumedBytes = 0
  /** Consumed, and not yet given back to the peer as a WINDOW_UPDATE. */
  uncreditedBytes = 0

  /** Chunks to send, the first from `chunkOffset` on. */
  readonly chunks: Buffer[] = []
  chunkOffset = 0
  /** The owner has said all: END_STREAM follows the last chunk. */
  isEnding = false
  trailers: Fields | undefined
  /** Its request was answered by us alone: no work was done for it. */
  isRefused = false
  /** Its place among the streams that want to send (stream-list.ts). */
  list: StreamList<Http2Stream<Context>> | undefined
  previous: Http2Stream<Context> | undefined
  next: Http2Stream<Context> | undefined

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
  }

  get state(): StreamState {
    if (this.isClosed) return 'closed'
    if (this.isLocalEnded) return this.isRemoteEnded ? 'closed' : 'half-closed-local'
    return this.isRemoteEnded ? 'half-closed-remote' : 'open'
  }
}

const noNames: readonly string[] = []
