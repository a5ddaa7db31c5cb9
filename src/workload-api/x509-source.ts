import { Backoff } from '../core/backoff.ts'
import { type Clock, wait } from '../core/clock.ts'
import { PosternError, messageOf } from '../core/errors.ts'
import type { Logger } from '../core/logger.ts'
import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'
import type { WorkloadApiAddress } from './address.ts'
import { type StreamEnd, runX509Stream } from './x509-stream.ts'
import { type HintedSvid, type X509Update, parseX509Update, selectSvid } from './x509-update.ts'

/** Who we are and whom we can verify, as one immutable value; each replaces the one before it whole. */
export interface IdentitySnapshot {
  /** Our identity: the first SVID, or the first one with the hint that was asked for. `svid.notAfterMs` says until when. */
  readonly svid: X509Svid
  /** Every SVID that the agent handed out, in its order. */
  readonly svids: readonly HintedSvid[]
  /** By the bare name of the trust domain: of our own and of the federated ones. */
  readonly bundles: TrustBundles
  /** DER revocation lists as the agent sent them; not parsed. */
  readonly crls: readonly Buffer[]
  /** Wall clock, milliseconds since 1970. */
  readonly receivedAtMs: number
  /** 1 for the first, then one more for each change. */
  readonly sequence: number
}

export type X509SourceState =
  /** No identity yet; `error` says why the last attempt gave none. */
  | { readonly kind: 'waiting'; readonly error?: PosternError }
  /** An identity is held. The agent may be away meanwhile (`connected`), and the SVID may expire: watch `notAfterMs`. */
  | { readonly kind: 'held'; readonly snapshot: IdentitySnapshot }
  /** The agent took the identity back: nothing may be used. Attempts go on. */
  | { readonly kind: 'withdrawn'; readonly error: PosternError }
  /** The agent refused for good. A snapshot that was held stays good until it expires. */
  | {
      readonly kind: 'ended'
      readonly error: PosternError
      readonly snapshot: IdentitySnapshot | undefined
    }
  | { readonly kind: 'closed' }

/** Hears of everything that happens to the identity, each at once and in order. */
export interface X509SourceObserver {
  /** Another identity, key or bundle than before. */
  onIdentity(snapshot: IdentitySnapshot): void
  /** A valid message that said nothing new. */
  onUnchanged(): void
  /** What was held may no longer be used. */
  onWithdrawn(error: PosternError): void
  /** A message was discarded; what is held stays good. */
  onRejected(error: PosternError): void
  /** Whether a stream is open on which the agent has answered. */
  onConnected(isConnected: boolean): void
  /** No further attempt is made. */
  onEnded(error: PosternError): void
}

export interface X509SourceOptions {
  readonly address: WorkloadApiAddress
  readonly clock: Clock
  readonly logger: Logger
  readonly observer?: X509SourceObserver
  /** Which SVID to use when the agent hands out several. Default: the first. */
  readonly hint?: string
  /**
   * How long a stream may stay without its first message, milliseconds. Default 60 000: SPIRE's Kubernetes attestor may ask
   * the kubelet for 30 s before it answers.
   */
  readonly firstMessageTimeoutMs?: number
  /** Largest message, bytes. Default 4 MiB, as gRPC has it: thousands of CA certificates. */
  readonly maxMessageBytes?: number
  /** Uniform in [0, 1), for the jitter. Default `Math.random`. */
  readonly random?: () => number
}

/** An agent that ends streams right after a message must not be asked in a tight loop. */
const shortestResetMs = 1_000

/**
 * Keeps our X.509 identity and the bundles as the Workload API says, on one stream of FetchX509SVID. It waits for an agent that
 * is not there yet, follows one that comes back, and keeps the last good state when a message is bad or the agent is away.
 */
export class X509Source {
  readonly #options: X509SourceOptions
  readonly #backoff: Backoff
  readonly #closing = new AbortController()
  readonly #waiters = new Set<() => void>()
  #state: X509SourceState = { kind: 'waiting' }
  #isConnected = false
  #digest = ''
  #sequence = 0
  #lastResetMs = -Infinity
  #running: Promise<void> = Promise.resolve()

  private constructor(options: X509SourceOptions) {
    this.#options = options
    this.#backoff = new Backoff(options.random === undefined ? {} : { random: options.random })
  }

  /** Starts dialling at once and waits for nothing: a sidecar starts while its agent is down. See `firstIdentity`. */
  static start(options: X509SourceOptions): X509Source {
    const source = new X509Source(options)
    source.#running = source.#run()
    return source
  }

  get state(): X509SourceState {
    return this.#state
  }

  /** What may be used now; its SVID may have expired. */
  get snapshot(): IdentitySnapshot | undefined {
    return this.#state.kind === 'held' || this.#state.kind === 'ended'
      ? this.#state.snapshot
      : undefined
  }

  /** Whether a stream is open on which the agent has answered. */
  get connected(): boolean {
    return this.#isConnected
  }

  /**
   * Resolves with the snapshot as soon as one is held. Rejects with `PosternError` ERR_WORKLOAD_API_ENDED when none will come,
   * ERR_IDENTITY_UNAVAILABLE when the source is closed, and with the signal's reason when it aborts.
   */
  async firstIdentity(signal?: AbortSignal): Promise<IdentitySnapshot> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.snapshot !== undefined) return this.snapshot
      if (this.#state.kind === 'ended') throw this.#state.error
      if (this.#state.kind === 'closed') throw closedError()
      await this.#nextState(signal)
    }
  }

  /** Ends the stream; nothing is held afterwards and the observer hears nothing more but `onConnected(false)`. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
    this.#enter({ kind: 'closed' })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      const end = await this.#stream()
      this.#setConnected(false)
      if (end.kind === 'closed') return
      this.#apply(end)
      if (end.kind === 'refused') return
      const retryInMs = this.#backoff.next()
      const { code, message } = end.error
      this.#options.logger.warn('Workload API stream ended', { code, error: message, retryInMs })
      if (retryInMs > 0) await wait(this.#options.clock, retryInMs, signal)
    }
  }

  #stream(): Promise<StreamEnd> {
    return runX509Stream({
      address: this.#options.address,
      clock: this.#options.clock,
      signal: this.#closing.signal,
      firstMessageTimeoutMs: this.#options.firstMessageTimeoutMs ?? 60_000,
      maxMessageBytes: this.#options.maxMessageBytes ?? 4 * 1024 * 1024,
      onMessage: (message) => this.#receive(message),
    })
  }

  #receive(message: Buffer): void {
    this.#setConnected(true)
    const update = this.#parse(message)
    if (update === undefined) return
    this.#resetBackoff()
    const svid = selectSvid(update, this.#options.hint)
    if (svid === undefined) this.#withdraw(hintMissing(this.#options.hint))
    else this.#take(update, svid)
  }

  #parse(message: Buffer): X509Update | undefined {
    try {
      return parseX509Update(message)
    } catch (error) {
      if (!(error instanceof PosternError)) throw error
      this.#options.logger.warn('Workload API message rejected', { error: error.message })
      this.#tell((observer) => observer.onRejected(error))
      return undefined
    }
  }

  #resetBackoff(): void {
    const nowMs = this.#options.clock.monotonic()
    if (nowMs - this.#lastResetMs < shortestResetMs) return
    this.#lastResetMs = nowMs
    this.#backoff.reset()
  }

  #take(update: X509Update, svid: X509Svid): void {
    if (this.#state.kind === 'held' && this.#digest === update.digest) {
      this.#tell((observer) => observer.onUnchanged())
      return
    }
    const { svids, bundles, crls, digest } = update
    const receivedAtMs = this.#options.clock.now()
    const sequence = ++this.#sequence
    const snapshot = Object.freeze({ svid, svids, bundles, crls, receivedAtMs, sequence })
    this.#digest = digest
    this.#options.logger.info('identity received', describe(snapshot))
    this.#enter({ kind: 'held', snapshot })
    this.#tell((observer) => observer.onIdentity(snapshot))
  }

  /** What the end of a stream means for what is held: a lost stream changes nothing. */
  #apply(end: Exclude<StreamEnd, { kind: 'closed' }>): void {
    switch (end.kind) {
      case 'denied':
        this.#withdraw(end.error)
        return
      case 'refused':
        this.#end(end.error)
        return
      case 'lost':
        if (this.#state.kind === 'waiting') this.#enter({ kind: 'waiting', error: end.error })
    }
  }

  /**
   * SPIFFE Workload API 5.2.1 and 4.4: PERMISSION_DENIED, or a full state without the SVID that we use, takes it back.
   */
  #withdraw(error: PosternError): void {
    if (this.#state.kind === 'waiting') {
      this.#enter({ kind: 'waiting', error })
      return
    }
    const wasHeld = this.#state.kind === 'held'
    this.#enter({ kind: 'withdrawn', error })
    if (!wasHeld) return
    this.#options.logger.warn('identity withdrawn', { code: error.code, error: error.message })
    this.#tell((observer) => observer.onWithdrawn(error))
  }

  #end(error: PosternError): void {
    this.#options.logger.error('Workload API refused for good', { error: error.message })
    this.#enter({ kind: 'ended', error, snapshot: this.snapshot })
    this.#tell((observer) => observer.onEnded(error))
  }

  #setConnected(isConnected: boolean): void {
    if (this.#isConnected === isConnected) return
    this.#isConnected = isConnected
    this.#tell((observer) => observer.onConnected(isConnected))
  }

  #enter(state: X509SourceState): void {
    this.#state = state
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }

  #nextState(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiters.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiters.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  /** A bug of an observer must not tear the stream down: the identity would no longer be followed. */
  #tell(say: (observer: X509SourceObserver) => void): void {
    if (this.#options.observer === undefined) return
    try {
      say(this.#options.observer)
    } catch (error) {
      this.#options.logger.error('observer of the identity failed', { error: messageOf(error) })
    }
  }
}

function describe(snapshot: IdentitySnapshot) {
  return {
    spiffeId: snapshot.svid.id.toString(),
    notAfter: new Date(snapshot.svid.notAfterMs).toISOString(),
    trustDomains: [...snapshot.bundles.keys()],
    sequence: snapshot.sequence,
  }
}

function hintMissing(hint = ''): PosternError {
  const shown = JSON.stringify(hint.slice(0, 80))
  return new PosternError(
    'ERR_IDENTITY_UNAVAILABLE',
    `Workload API offers no SVID with hint ${shown}`,
  )
}

function closedError(): PosternError {
  return new PosternError('ERR_IDENTITY_UNAVAILABLE', 'source of the identity is closed')
}
