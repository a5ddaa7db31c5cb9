import { messageOf } from '../../core/errors.ts'
import { ask, type AskContext, type Reply } from './ask.ts'
import type { Call } from './calls.ts'
import type { AuditedDecision, DemoStage } from './demo-stage.ts'

/** One call and what became of it. */
export interface Row {
  readonly call: Call
  /** As in `ExpectedAnswer`; '-' where there was no answer. */
  readonly status: string
  readonly product: string
  readonly principal: string
  readonly reason: string
  readonly decisionId: string
  /** Whether all of it is what it has to be: the answer, the record, and what the workload was told. */
  readonly isRight: boolean
}

/** Makes the calls one after another. Rejects only when `context.signal` aborts. */
export async function play(
  calls: readonly Call[],
  stage: DemoStage,
  context: Omit<AskContext, 'files' | 'port'>,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const call of calls) {
    rows.push(await playOne(call, stage, { files: stage.files, port: stage.port, ...context }))
  }
  return rows
}

async function playOne(call: Call, stage: DemoStage, context: AskContext): Promise<Row> {
  try {
    const reply = await ask(call, context)
    const decision = await stage.decision(reply.decisionId)
    const { reason, product = '-', principal = '-' } = decision
    const { status, decisionId } = reply
    const isRight = isExpected(call, reply, decision)
    return { call, status, product, principal, reason, decisionId, isRight }
  } catch (error) {
    context.signal.throwIfAborted()
    const nothing = { status: '-', product: '-', principal: '-', decisionId: '' }
    return { call, ...nothing, reason: messageOf(error), isRight: false }
  }
}

function isExpected({ expected }: Call, reply: Reply, decision: AuditedDecision): boolean {
  return (
    reply.status === expected.status &&
    decision.reason === expected.reason &&
    decision.product === expected.product &&
    decision.principal === expected.principal &&
    (reply.told === undefined ? reply.reason === expected.reason : wasTold(reply.told, decision))
  )
}

/** The workload knows what was decided, and has seen no key. */
function wasTold(told: NonNullable<Reply['told']>, decision: AuditedDecision): boolean {
  return (
    told.product === decision.product &&
    told.principal === decision.principal &&
    told.credentialFields.length === 0
  )
}
