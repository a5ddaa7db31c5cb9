import assert from 'node:assert/strict'
import { viewMadeDecision } from '../../src/admin/views/explanation-view.ts'
import { readExplanation, readMigration, readStatus } from '../../src/bin/admin-answers.ts'
import { FakeSidecar } from '../admin/support/fake-sidecar.ts'
import { keysOf, mapOf, product, trustOf } from '../policy/support/policy.ts'
import { allow, deny, recordOf, svidPeer } from '../telemetry/support/records.ts'

type Read = (answer: object) => object
type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** Members that an answer may be without, by their paths; `*` is any index. */
const optional = new Set([
  ...['made', 'made.previousReason', 'request', 'judgedBy', 'note'],
  ...['caller.spiffeId', 'caller.subject', 'caller.path', 'caller.authorities', 'caller.fault'],
  ...['caller.claimed', 'caller.claimed.subject', 'caller.claimed.spiffeId'],
  ...['product', 'principal', 'consumer', 'credential', 'apiKeyId', 'rule'].map(
    (name) => `decision.${name}`,
  ),
  'decision.retryAfterSeconds',
  ...['products.*.apiKeysUntil', 'products.*.atItsEnd', 'products.*.consumers.*.lastKeyUse'],
  'products.*.consumers.*.keys.*.lastUse',
  'identity.connected',
])

/** What `check` reads nothing of. */
const unread =
  /^(now|started|ready|missing|listen|upstream|epochs|authorities|products?|keys?|countedSince|connections|outbound)(Count)?$|^trustDomains\.\*\.(own|anchorCount)$/

describe('answers of an admin port', () => {
  const answers: { name: string; read: Read; make: () => Promise<object> | object }[] = [
    { name: 'an allowed call', read: readExplanation, make: allowedCall },
    { name: 'a certificate that proved nothing', read: readExplanation, make: untrustedCall },
    { name: 'a limit', read: readExplanation, make: limitedCall },
    { name: 'a migration', read: readMigration, make: migration },
    { name: 'a status', read: readStatus, make: () => withAnchor(new FakeSidecar().api.status()) },
  ]
  for (const { name, read, make } of answers) {
    describe(`about ${name}`, () => {
      let answer: Json

      before(async () => {
        answer = JSON.parse(JSON.stringify(await make())) as Json
      })

      it('are read, also with members that are not known', () => {
        const more = { ...(answer as object), more: { x: 1 } }
        assert.equal(read(more), more)
      })

      it('are refused without any member that is always there', () => {
        for (const path of pathsIn(answer)) {
          const isOptional = optional.has(generic(path)) || isUnread(read, path)
          const less = changed(answer, path, undefined)
          if (isOptional) assert.doesNotThrow(() => read(less as object), path.join('.'))
          else assert.throws(() => read(less as object), path.join('.'))
        }
      })

      it('are refused with any member of another kind', () => {
        for (const path of pathsIn(answer)) {
          if (isUnread(read, path)) continue
          for (const wrong of [null, -1, { x: 1 }, [[1]], true]) {
            if (kindOf(wrong) === kindOf(valueAt(answer, path))) continue
            const other = changed(answer, path, wrong)
            assert.throws(() => read(other as object), `${path.join('.')} ${JSON.stringify(wrong)}`)
          }
        }
      })
    })
  }
})

async function allowedCall(): Promise<object> {
  const peer = await svidPeer('spiffe://a.example/x')
  const trust = trustOf({
    epoch: 7,
    products: mapOf(
      product('payments', {
        callers: ['spiffeId: spiffe://a.example/x'],
        requests: [{ methods: ['GET'], paths: ['/v1/**'] }],
      }),
    ),
  })
  const decision = allow({ product: 'payments', principal: 'spiffe://a.example/x' })
  const record = recordOf({ peer, decision, previousReason: 'svid_id' })
  return viewMadeDecision(record, trust, 9)
}

function untrustedCall(): object {
  const claimed = { subject: 'CN=x', spiffeId: 'spiffe://a.example/x' }
  const peer = { kind: 'untrusted', reason: 'issuer_unknown', detail: 'nobody', claimed } as const
  return viewMadeDecision(recordOf({ peer, decision: deny() }), trustOf(), 1)
}

function limitedCall(): object {
  const limited = deny({ reason: 'rate_limited', status: 429, retryAfterSeconds: 2 })
  return viewMadeDecision(recordOf({ decision: limited }), undefined, 9)
}

function migration(): object {
  const apiKeysUntilMs = Date.UTC(2027, 2, 31)
  const sidecar = new FakeSidecar({
    products: mapOf(product('payments', { apiKeys: 'accept', apiKeysUntilMs })),
    apiKeys: keysOf({ a: { product: 'payments', id: 'k_a', consumer: 'acme' } }),
  })
  const used = { principal: 'acme', consumer: 'acme', apiKeyId: 'k_a', credential: 'api-key' }
  const byKey = { ...allow({ reason: 'api_key' }), ...used } as ReturnType<typeof allow>
  const atMs = sidecar.clock.now()
  sidecar.decide(recordOf({ atMs, decision: byKey }), recordOf({ atMs, decision: allow() }))
  return sidecar.api.migration(new URLSearchParams())
}

function withAnchor(status: object): object {
  const notAfter = '2027-01-01T00:00:00.000Z'
  const anchor = { subject: '', issuer: '', serial: '1', notBefore: notAfter, notAfter, sha256: '' }
  return {
    ...status,
    trustDomains: [{ name: 'a.example', own: true, anchors: [anchor], anchorCount: 1 }],
    files: [{ name: 'products.yaml', time: notAfter, result: 'taken' }],
  }
}

type Path = readonly string[]

/** Of every member of every map and list in it. */
function pathsIn(value: Json, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const here = [...path, key]
    return Array.isArray(value) ? pathsIn(child, here) : [here, ...pathsIn(child, here)]
  })
}

function generic(path: Path): string {
  return path.map((part) => (/^\d+$/.test(part) ? '*' : part)).join('.')
}

function isUnread(read: Read, path: Path): boolean {
  if (read !== readStatus) return false
  return unread.test(path[0] ?? '') || unread.test(generic(path))
}

/** Without the member where `wrong` is undefined. */
function changed(value: Json, [key, ...rest]: Path, wrong: Json | undefined): Json {
  if (key === undefined || typeof value !== 'object' || value === null) return wrong ?? null
  const copy = structuredClone(value) as Record<string, Json>
  if (rest.length > 0) copy[key] = changed(copy[key] ?? null, rest, wrong)
  else if (wrong === undefined) Reflect.deleteProperty(copy, key)
  else copy[key] = wrong
  return copy
}

function valueAt(value: Json, path: Path): Json {
  return path.reduce<Json>((at, key) => (at as Record<string, Json>)[key] ?? null, value)
}

/** Numbers below zero are of no kind that an answer has. */
function kindOf(value: Json): string {
  if (value === null) return 'null'
  return Array.isArray(value)
    ? 'list'
    : typeof value === 'number' && value < 0
      ? 'no'
      : typeof value
}
