import type { PosternProcess } from './postern-process.ts'

/** What a program says about itself since it was asked last. */
export interface Window {
  readonly longestPauseMs: number
  /** Without waits for a CPU that another program had. */
  readonly longestOwnPauseMs: number
  /** The longest collection of garbage; what other programs took of its time is in it. */
  readonly longestCollectionMs: number
  readonly p99PauseMs: number
  readonly cpuMs: number
  /** After a collection, as the rest. */
  readonly residentBytes: number
  readonly heapBytes: number
  readonly handles: number
}

/** For `env` of the program that shall be asked. */
export const windowEnvironment = {
  NODE_OPTIONS: `--import=${new URL('loop-delay.mjs', import.meta.url).href}`,
}

/** Asks, and begins the next window. */
export async function nextWindow(postern: PosternProcess): Promise<Window> {
  const seen = postern.logs.length
  postern.signal('SIGUSR2')
  return (await postern.logged('loop delay', seen)) as unknown as Window
}
