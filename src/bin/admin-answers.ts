import { z } from 'zod'
import type { CertificateView } from '../admin/views/certificate-view.ts'
import type { CallerView, RequestView } from '../admin/views/decision-view.ts'
import type { ExplanationView, JudgeView, MadeDecision } from '../admin/views/explanation-view.ts'
import type {
  CertificateUse,
  ConsumerMigration,
  MigrationView,
  ProductMigration,
} from '../admin/views/migration-view.ts'
import type { IdentityView, StatusView } from '../admin/views/status-view.ts'
import type { DecisionSubject, Step } from '../policy/decision.ts'
import type { RequestExplanation, RuleExplanation } from '../policy/explain.ts'
import type { SourcePosition } from '../policy/source-position.ts'

/** Names every member of a view, so that the compiler finds the one that was forgotten. */
type ShapeOf<View> = { readonly [Member in keyof Required<View>]: z.ZodType }

const text = z.string()
const texts = z.array(text)
const count = z.number().min(0)

const certificate = z.object({
  subject: text,
  issuer: text,
  serial: text,
  notBefore: text,
  notAfter: text,
  sha256: text,
} satisfies ShapeOf<CertificateView>)

const claimed = z.object({
  subject: text.optional(),
  issuer: text.optional(),
  spiffeId: text.optional(),
  sha256: text.optional(),
  notAfter: text.optional(),
} satisfies ShapeOf<NonNullable<CallerView['claimed']>>)

const caller = z.object({
  kind: text,
  spiffeId: text.optional(),
  subject: text.optional(),
  authorities: texts.optional(),
  path: z.array(certificate).optional(),
  fault: text.optional(),
  claimed: claimed.optional(),
} satisfies ShapeOf<CallerView>)

const step = z.object({
  name: text,
  outcome: z.enum(['pass', 'deny', 'skip']),
  detail: text,
} satisfies ShapeOf<Step>)

const subject = {
  product: text.optional(),
  principal: text.optional(),
  consumer: text.optional(),
  credential: text.optional(),
  apiKeyId: text.optional(),
  rule: text.optional(),
  epoch: count,
  steps: z.array(step),
  apiKeyWarned: z.boolean().optional(),
  keyBeside: z.object({ status: text }).optional(),
  ignoredCertificate: text.optional(),
} satisfies ShapeOf<DecisionSubject>

const upstream = text.optional()
const decision = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('allow'), reason: text, upstream, ...subject }),
  z.object({
    outcome: z.literal('deny'),
    reason: text,
    status: z.int().min(400).max(599),
    retryAfterSeconds: count.optional(),
    upstream,
    ...subject,
  }),
])

const position = z.object({
  file: text,
  line: count,
  column: count,
} satisfies ShapeOf<SourcePosition>)

const rule = z.object({
  product: text,
  rule: text,
  position,
  result: text,
  why: text,
} satisfies ShapeOf<RuleExplanation>)

const explanation = z.object({
  made: z
    .object({
      id: text,
      time: text,
      direction: z.enum(['inbound', 'outbound']),
      protocol: text,
      client: text,
      previousReason: text.optional(),
    } satisfies ShapeOf<MadeDecision>)
    .optional(),
  caller,
  request: z
    .object({ method: text, host: text, path: text } satisfies ShapeOf<RequestView>)
    .optional(),
  decision,
  judgedBy: z
    .array(z.object({ name: text, anchors: z.array(certificate) } satisfies ShapeOf<JudgeView>))
    .optional(),
  note: text.optional(),
  rules: z.array(rule),
  otherRules: count,
  requests: z.array(
    z.object({ position, matches: z.boolean(), why: text } satisfies ShapeOf<RequestExplanation>),
  ),
} satisfies ShapeOf<ExplanationView>)

const consumer = z.object({
  consumer: text,
  stillUsesKeys: z.boolean(),
  allowed: count,
  lastKeyUse: text.optional(),
  keys: z.array(z.object({ id: text, lastUse: text.optional() })),
} satisfies ShapeOf<ConsumerMigration>)

const migration = z.object({
  now: text,
  countedSince: text,
  countedUntil: text.optional(),
  quietDays: count,
  countedLongEnough: z.boolean(),
  products: z.array(
    z.object({
      product: text,
      apiKeys: text,
      apiKeysUntil: text.optional(),
      require: text,
      consumers: z.array(consumer),
      consumerCount: count,
      certificates: z.array(
        z.object({
          principal: text,
          credential: text,
          allowed: count,
          lastSeen: text,
        } satisfies ShapeOf<CertificateUse>),
      ),
      certificateCount: count,
      breaks: texts,
      breakCount: count,
      ifRefused: text,
      atItsEnd: text.optional(),
    } satisfies ShapeOf<ProductMigration>),
  ),
  otherProducts: count,
} satisfies ShapeOf<MigrationView>)

/** What `check --live` reads of it. */
export type CheckedStatus = Pick<StatusView, 'version' | 'epoch' | 'files' | 'connectionCount'> & {
  readonly identity: Omit<IdentityView, 'renewalExpected' | 'chain'>
  readonly trustDomains: readonly {
    readonly name: string
    readonly anchors: readonly Pick<CertificateView, 'notAfter'>[]
  }[]
}

const moment = text.refine((written) => !Number.isNaN(Date.parse(written)), 'is no time')

const status = z.object({
  version: text,
  epoch: count,
  identity: z.object({
    source: text,
    connected: z.boolean().optional(),
    spiffeId: text.optional(),
    notBefore: moment.optional(),
    notAfter: moment.optional(),
  } satisfies ShapeOf<CheckedStatus['identity']>),
  files: z.array(z.object({ name: text, time: text, result: text, error: text.optional() })),
  trustDomains: z.array(z.object({ name: text, anchors: z.array(certificate) })),
  connectionCount: count,
} satisfies ShapeOf<CheckedStatus>)

// What is handed on is the answer itself: members that a newer sidecar has beside these stay in the JSON.

/** `/decisions/ID`. Throws for an answer of another shape. */
export function readExplanation(answer: object): ExplanationView {
  explanation.parse(answer)
  return answer as ExplanationView
}

/** `/migration`. Throws for an answer of another shape. */
export function readMigration(answer: object): MigrationView {
  migration.parse(answer)
  return answer as MigrationView
}

/** `/status`. Throws for an answer of another shape. */
export function readStatus(answer: object): CheckedStatus {
  status.parse(answer)
  return answer as CheckedStatus
}
