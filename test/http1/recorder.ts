import type { Fields } from '../../src/core/fields.ts'
import type { ReplyHead, RequestHead } from '../../src/http1/head.ts'
import type { Http1Limits } from '../../src/http1/limits.ts'
import { ReplyReader } from '../../src/http1/reply-reader.ts'
import { type RequestEvents, RequestReader } from '../../src/http1/request-reader.ts'

/**
 * Bytes from a text that shows what matters: a line break stands for CRLF, `␊` for a bare LF, `␍` for a bare CR, `␀` for NUL; all else
 * is Latin-1.
 */
export function bytesOf(text: string): Buffer {
  const plain = text
    .replaceAll('\n', '\r\n')
    .replaceAll('␊', '\n')
    .replaceAll('␍', '\r')
    .replaceAll('␀', '\0')
  return Buffer.from(plain, 'latin1')
}

/** For readers whose state alone is asked. */
export const silent: RequestEvents = {
  onHead: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onRefusal: () => undefined,
}

/** One message as its reader told it. */
export interface Message<Head> {
  readonly head: Head
  body: string
  trailers?: Fields
}

/** Everything that a reader told, and where it stopped. */
export interface Transcript<Head> {
  readonly messages: Message<Head>[]
  /** Code of the refusal. */
  refused?: string
  status?: number
  state: string
  /** Bytes that were not consumed. */
  rest: number
}

class Recorder<Head> {
  readonly messages: Message<Head>[] = []
  readonly informational: Head[] = []
  refused: string | undefined
  status: number | undefined

  onHead(head: Head): void {
    this.#refuseLate()
    this.messages.push({ head, body: '' })
  }

  onInformational(head: Head): void {
    this.#refuseLate()
    this.informational.push(head)
  }

  onData(data: Buffer): void {
    this.#refuseLate()
    if (data.length === 0) throw new Error('empty data')
    this.#last.body += data.toString('latin1')
  }

  onEnd(trailers: Fields): void {
    this.#refuseLate()
    if (this.#last.trailers !== undefined) throw new Error('ended twice')
    this.#last.trailers = trailers
  }

  onRefusal(refusal: { code: string; status?: number }): void {
    this.#refuseLate()
    this.refused = refusal.code
    this.status = refusal.status
  }

  get #last(): Message<Head> {
    const last = this.messages.at(-1)
    if (last === undefined) throw new Error('no head came before')
    return last
  }

  #refuseLate(): void {
    if (this.refused !== undefined) throw new Error('an event after the refusal')
  }
}

/** Reads all requests out of `pieces`, as an owner does that is always ready, up to one that ends the connection. */
export function readRequests(
  pieces: readonly Buffer[],
  limits?: Partial<Http1Limits>,
): Transcript<RequestHead> {
  const recorder = new Recorder<RequestHead>()
  const reader = new RequestReader(recorder, limits)
  let rest = 0
  for (const piece of pieces) rest += piece.length - feed(reader, recorder, piece)
  return transcript(recorder, reader.state, rest)
}

function feed(reader: RequestReader, recorder: Recorder<RequestHead>, piece: Buffer): number {
  let at = 0
  for (;;) {
    const before = at
    at = reader.read(piece, at)
    if (at < before || at > piece.length) throw new Error('an offset outside the chunk')
    if (reader.state !== 'ended' || recorder.messages.at(-1)?.head.persistent !== true) return at
    reader.next()
  }
}

/** What reading replies found. */
export interface ReplyTranscript extends Transcript<ReplyHead> {
  readonly informational: ReplyHead[]
  /** What `finish` returned. */
  readonly finished: boolean
}

/** Reads one reply for each of `methods` out of `pieces`, then the end of the connection. */
export function readReplies(
  pieces: readonly Buffer[],
  methods: readonly string[],
  limits?: Partial<Http1Limits>,
): ReplyTranscript {
  const recorder = new Recorder<ReplyHead>()
  const reader = new ReplyReader(recorder, limits)
  const waiting = [...methods]
  let rest = 0
  for (const piece of pieces) rest += piece.length - feedReply(reader, waiting, piece)
  if (reader.state === 'idle') expectNext(reader, waiting)
  const finished = reader.finish()
  return {
    ...transcript(recorder, reader.state, rest),
    informational: recorder.informational,
    finished,
  }
}

function feedReply(reader: ReplyReader, waiting: string[], piece: Buffer): number {
  let at = 0
  while (at < piece.length && reader.state !== 'refused') {
    if (reader.state === 'idle') expectNext(reader, waiting)
    at = reader.read(piece, at)
  }
  return at
}

function expectNext(reader: ReplyReader, waiting: string[]): void {
  const method = waiting.shift()
  if (method !== undefined) reader.expect(method)
}

function transcript<Head>(recorder: Recorder<Head>, state: string, rest: number): Transcript<Head> {
  return {
    messages: recorder.messages,
    ...(recorder.refused === undefined ? {} : { refused: recorder.refused }),
    ...(recorder.status === undefined ? {} : { status: recorder.status }),
    state,
    rest,
  }
}
