import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import type { Clock } from '../../core/clock.ts'
import { PosternError } from '../../core/errors.ts'
import { sidecarId } from './ask.ts'
import { DemoFiles } from './demo-files.ts'
import { DemoProcess } from './demo-process.ts'
import type { ReceivedSpan } from './otlp-spans.ts'
import { SpanReceiver } from './span-receiver.ts'

/** Starts `postern` with these arguments as a process of its own; `env` is added to a clean environment. */
export type SpawnPostern = (
  args: readonly string[],
  env: Readonly<Record<string, string>>,
) => ChildProcessWithoutNullStreams

export interface StageContext {
  readonly clock: Clock
  /** Ends every wait. */
  readonly signal: AbortSignal
  /** An empty directory for the files; the caller removes it. */
  readonly directory: string
  readonly spawnPostern: SpawnPostern
}

/** What an audit line says of one decision, as far as the demo shows it. */
export interface AuditedDecision {
  readonly reason: string
  readonly product?: string
  readonly principal?: string
}

/** The spans of one request. */
export interface RequestTrace {
  readonly request: ReceivedSpan
  readonly authorize: ReceivedSpan
}

const trustDomains = ['corp.example', 'partner-a.example', 'stranger.example']

/**
 * Everything that the demo plays with, each a process of its own: the embedded Workload API, a workload, and the sidecar
 * beside it with the files of `examples/three-callers`. Records of the sidecar are kept by decision id.
 */
export class DemoStage {
  readonly files: DemoFiles
  readonly #context: StageContext
  readonly #receiver: SpanReceiver
  readonly #processes: DemoProcess[] = []
  readonly #answers: string[] = []
  readonly #decisions = new Map<string, AuditedDecision>()
  #agent: DemoProcess | undefined
  #sidecar: DemoProcess | undefined
  #ports: SidecarPorts | undefined

  private constructor(context: StageContext, files: DemoFiles, receiver: SpanReceiver) {
    this.#context = context
    this.files = files
    this.#receiver = receiver
  }

  /**
   * Resolves when the sidecar is ready; `close` ends everything. Throws `PosternError` ERR_DEMO_FAILED, or the reason of
   * the signal when that aborts.
   */
  static async set(context: StageContext): Promise<DemoStage> {
    const files = await DemoFiles.create(context.directory, context.clock)
    const stage = new DemoStage(context, files, await SpanReceiver.start())
    try {
      const [upstreamPort] = await Promise.all([stage.#startWorkload(), stage.#startAgent()])
      await stage.#startSidecar(upstreamPort)
      return stage
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  /** The one port. */
  get port(): number {
    return this.#ports?.inboundPort ?? 0
  }

  /** Where the sidecar answers probes and scrapes. */
  get healthPort(): number {
    return this.#ports?.healthPort ?? 0
  }

  /** Where the status page is. */
  get adminPort(): number {
    return this.#ports?.adminPort ?? 0
  }

  /** What `postern explain` says of a decision of the sidecar, line by line. */
  async explain(decisionId: string): Promise<string[]> {
    const lines: string[] = []
    const admin = `127.0.0.1:${this.adminPort}`
    const explain = this.#start('postern explain', ['explain', decisionId, '--admin', admin], {
      onOutput: (line) => lines.push(line),
    })
    await explain.ended()
    // Its end is no failure of the stage.
    this.#processes.splice(this.#processes.indexOf(explain), 1)
    if (lines.length === 0) throw await explain.failure()
    return lines
  }

  /** The decision with this id, once the audit log holds it. */
  decision(id: string): Promise<AuditedDecision> {
    return started(this.#sidecar).until(`an audit line for ${id}`, () => this.#decisions.get(id))
  }

  /** The spans of the request with this decision, once both have come. */
  trace(decisionId: string): Promise<RequestTrace> {
    return started(this.#sidecar).until(`the spans of ${decisionId}`, () => {
      const { spans } = this.#receiver
      const authorize = spans.find((one) => one.attributes.get(decisionIdAttribute) === decisionId)
      const request = spans.find((one) => one.spanId === authorize?.parentSpanId)
      return authorize === undefined || request === undefined ? undefined : { request, authorize }
    })
  }

  /** Tells the agent one command and resolves when it is done. */
  async command(line: string): Promise<void> {
    const agent = started(this.#agent)
    const before = this.#answers.length
    agent.tell(line)
    const answer = await agent.until(`its answer to ${line}`, () => this.#answers[before])
    if (answer.startsWith('error')) throw new PosternError('ERR_DEMO_FAILED', `${line}: ${answer}`)
  }

  /** Resolves when the agent has written what `look` waits for. */
  untilWritten<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    return started(this.#agent).until(what, look)
  }

  /** The number of the sidecar's trust state. */
  async epoch(): Promise<number> {
    const metrics = await this.#get('/metrics')
    return Number(/^postern_epoch (\d+)$/m.exec(metrics?.body ?? '')?.[1])
  }

  /** Resolves when the sidecar has taken the change that leads to this epoch. */
  async untilEpoch(epoch: number): Promise<void> {
    await started(this.#sidecar).until(`epoch ${epoch}`, async () =>
      (await this.epoch()) >= epoch ? true : undefined,
    )
  }

  /** Resolves when one of the processes has ended by itself, with what there is to say about that. */
  failure(): Promise<PosternError> {
    return Promise.race(this.#processes.map((process) => process.failure()))
  }

  /** Ends the processes, the sidecar first. Idempotent; the files stay. */
  async close(): Promise<void> {
    for (const process of this.#processes.splice(0).reverse()) await process.stop()
    await this.#receiver.close()
  }

  async #startWorkload(): Promise<number> {
    let port: number | undefined
    const workload = this.#start('the workload', ['demo', '--workload'], {
      onOutput: (line) => (port = Number(line)),
    })
    return workload.until('the port of the workload', () => port)
  }

  /** Its trust domains all trust each other; the sidecar's must not trust the stranger. */
  async #startAgent(): Promise<void> {
    const { socket, certificates } = this.files
    let isListening: true | undefined
    const onLog = (line: string) => {
      if (isMessage(readLine(line), 'development agent listens')) isListening = true
    }
    this.#agent = this.#start(
      'the embedded Workload API',
      [
        ...['dev-agent', '--socket', socket, '--client-certificates', certificates],
        ...['--spiffe-id', sidecarId, '--trust-domain', ...trustDomains],
      ],
      { onOutput: (line) => this.#answers.push(line), onLog },
    )
    // What it is told before that is lost.
    await this.#agent.until('it listened', () => isListening)
    await this.command('defederate corp.example stranger.example')
  }

  async #startSidecar(upstreamPort: number): Promise<void> {
    this.#sidecar = this.#start('the sidecar', ['run', '--config', this.files.config], {
      onOutput: (line) => this.#readAuditLine(line),
      onLog: (line) => (this.#ports ??= readPorts(line)),
      env: {
        POSTERN_IDENTITY_WORKLOAD_API: `unix://${this.files.socket}`,
        POSTERN_INBOUND_LISTEN: '127.0.0.1:0',
        POSTERN_INBOUND_UPSTREAM: `127.0.0.1:${upstreamPort}`,
        POSTERN_HEALTH_LISTEN: '127.0.0.1:0',
        POSTERN_ADMIN_LISTEN: '127.0.0.1:0',
        OTEL_TRACES_EXPORTER: 'otlp',
        OTEL_EXPORTER_OTLP_ENDPOINT: this.#receiver.url,
        OTEL_BSP_SCHEDULE_DELAY: '100',
      },
    })
    await this.#sidecar.until('the port was bound', () => this.#ports)
    await this.#sidecar.until('it was ready', async () =>
      (await this.#get('/readyz'))?.status === 200 ? true : undefined,
    )
  }

  #start(name: string, args: readonly string[], options: StartOptions): DemoProcess {
    const { clock, signal, spawnPostern } = this.#context
    const { env = {}, ...listeners } = options
    const process = new DemoProcess(spawnPostern(args, env), { name, clock, signal, ...listeners })
    this.#processes.push(process)
    return process
  }

  #readAuditLine(line: string): void {
    const { id, decision } = readLine(line) as { id?: string; decision?: AuditedDecision }
    if (id !== undefined && decision !== undefined) this.#decisions.set(id, decision)
  }

  /** Undefined when nobody answers: whoever waits learns from the process why. */
  async #get(
    path: string,
  ): Promise<{ readonly status: number; readonly body: string } | undefined> {
    const { signal } = this.#context
    try {
      const reply = await fetch(`http://127.0.0.1:${this.healthPort}${path}`, { signal })
      return { status: reply.status, body: await reply.text() }
    } catch {
      return undefined
    }
  }
}

interface StartOptions {
  readonly onOutput?: (line: string) => void
  readonly onLog?: (line: string) => void
  readonly env?: Readonly<Record<string, string>>
}

interface SidecarPorts {
  readonly inboundPort: number
  readonly healthPort: number
  readonly adminPort: number
}

const decisionIdAttribute = 'postern.decision_id'

/** From the line that the sidecar logs when it has bound its ports. */
function readPorts(line: string): SidecarPorts | undefined {
  const fields = readLine(line)
  return isMessage(fields, 'listening') ? (fields as SidecarPorts) : undefined
}

function isMessage(fields: object, message: string): boolean {
  return (fields as { readonly msg?: string }).msg === message
}

/** A line of the log or the audit log; a process that is killed may leave half of one. */
function readLine(line: string): object {
  try {
    return Object(JSON.parse(line)) as object
  } catch {
    return {}
  }
}

function started(process: DemoProcess | undefined): DemoProcess {
  if (process === undefined) throw new TypeError('the stage is not set')
  return process
}
