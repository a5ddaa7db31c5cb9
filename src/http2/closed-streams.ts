import { rememberedStreams } from './limits.ts'

/** How a stream ended. `forgotten`: too long ago to know, or never opened although later ones were. */
export type Ending = 'ended' | 'reset-by-peer' | 'reset-by-us' | 'forgotten'

const endings: readonly Ending[] = ['forgotten', 'ended', 'reset-by-peer', 'reset-by-us']

/**
 * Remembers how the last streams ended (RFC 9113 5.1 wants different answers to late frames), in constant space: one slot for
 * every `rememberedStreams`th stream of a connection, taken over by the newer one.
 */
export class ClosedStreams {
  #ids: Uint32Array | undefined
  #endings: Uint8Array | undefined

  add(streamId: number, ending: Ending): void {
    this.#ids ??= new Uint32Array(rememberedStreams)
    this.#endings ??= new Uint8Array(rememberedStreams)
    const slot = slotOf(streamId)
    this.#ids[slot] = streamId
    this.#endings[slot] = endings.indexOf(ending)
  }

  /** Asked only for streams that are neither idle nor open. */
  ending(streamId: number): Ending {
    const slot = slotOf(streamId)
    if (this.#ids?.[slot] !== streamId) return 'forgotten'
    return endings[this.#endings?.[slot] ?? 0] ?? 'forgotten'
  }
}

function slotOf(streamId: number): number {
  return (streamId >>> 1) & (rememberedStreams - 1)
}
