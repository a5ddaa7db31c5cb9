import { BrokenRule } from './errors.ts'
import type { FrameReader } from './frame-reader.ts'
import { largest31, protocolWindowBytes, setting } from './frames.ts'

/** The smallest and largest SETTINGS_MAX_FRAME_SIZE, RFC 9113 6.5.2. */
const smallestFrame = 16_384
const largestFrame = 16_777_215

/** RFC 9113 5.1.2 advises at least this; before the peer's SETTINGS come nothing is known. */
const streamsBeforeSettings = 100

/** What the peer allows us, RFC 9113 6.5.2. Unknown settings are ignored. */
export class PeerSettings {
  readonly #isFromServer: boolean
  headerTableBytes = 4_096
  /** The smallest of the values that one SETTINGS frame gave, which the encoder has to pass through (RFC 7541 4.2). */
  lowestTableBytes = 4_096
  maxConcurrentStreams = streamsBeforeSettings
  initialWindowBytes = protocolWindowBytes
  maxFrameBytes = smallestFrame
  /** Advice: the largest header list that the peer wants to see. */
  maxHeaderListBytes = Infinity
  /** RFC 8441: the peer takes requests with `:protocol`. */
  allowsConnectProtocol = false
  #areKnown = false

  constructor(isFromServer: boolean) {
    this.#isFromServer = isFromServer
  }

  /** Reads one SETTINGS frame. Throws `BrokenRule`. */
  read(frame: FrameReader): void {
    // From here on the protocol's own default holds: no limit.
    if (!this.#areKnown) this.maxConcurrentStreams = Infinity
    this.#areKnown = true
    this.lowestTableBytes = this.headerTableBytes
    for (let at = frame.start; at < frame.end; at += 6) {
      this.#set(frame.buffer.readUInt16BE(at), frame.buffer.readUInt32BE(at + 2))
    }
  }

  #set(id: number, value: number): void {
    switch (id) {
      case setting.HEADER_TABLE_SIZE:
        this.headerTableBytes = value
        this.lowestTableBytes = Math.min(value, this.lowestTableBytes)
        return
      case setting.ENABLE_PUSH:
        // A server may only say 0; that we have no use for push either way is our own setting's business.
        if (value > (this.#isFromServer ? 0 : 1)) throw new BrokenRule('setting_invalid')
        return
      case setting.MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value
        return
      case setting.INITIAL_WINDOW_SIZE:
        if (value > largest31) throw new BrokenRule('initial_window_too_large')
        this.initialWindowBytes = value
        return
      case setting.MAX_FRAME_SIZE:
        if (value < smallestFrame || value > largestFrame) throw new BrokenRule('setting_invalid')
        this.maxFrameBytes = value
        return
      case setting.MAX_HEADER_LIST_SIZE:
        this.maxHeaderListBytes = value
        return
      case setting.ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 3: what was allowed once stays allowed.
        if (value > 1 || (value === 0 && this.allowsConnectProtocol)) {
          throw new BrokenRule('setting_invalid')
        }
        this.allowsConnectProtocol = value === 1
        return
      default:
    }
  }
}
