import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Json } from '../../src/injector/json.ts'
import { isEqual } from '../../src/injector/json.ts'
import { admit } from '../../src/injector/webhook/admission.ts'
import { jsonPatch, type PatchOperation } from '../../src/injector/webhook/json-patch.ts'
import { containerOf, injected, optionsWith, podWith } from './support/pods.ts'

interface Reply {
  readonly response: {
    readonly uid: string
    readonly allowed: boolean
    readonly patchType?: string
    readonly patch?: string
    readonly warnings?: readonly string[]
    readonly status?: { readonly code: number; readonly message: string }
  }
}

/** What an API server sends, with what the test wants to be otherwise. */
function review(object: unknown, request: object = {}): object {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '7f0b2891',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      operation: 'CREATE',
      namespace: 'shop',
      object,
      ...request,
    },
  }
}

function answerTo(body: object, byDefault = true) {
  const admission = admit(body, optionsWith({}, { byDefault }))
  assert.ok(admission.kind === 'answered', JSON.stringify(admission))
  const { response } = admission.reply as Reply
  return { ...admission, response }
}

function patchOf({ response }: { response: Reply['response'] }): PatchOperation[] {
  return JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString()) as PatchOperation[]
}

describe('an AdmissionReview', () => {
  it('is answered with the patch that injects the pod', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', ...podWith() }
    const answer = answerTo(review(pod))
    assert.equal(answer.response.uid, '7f0b2891')
    assert.equal(answer.response.allowed, true)
    assert.equal(answer.response.patchType, 'JSONPatch')
    const patched = applyPatch(pod, patchOf(answer))
    assert.deepEqual(patched, injected(pod))
    assert.equal(containerOf(patched)['name'], 'postern')
  })

  it('of a pod that is as it should be gets no patch', () => {
    const answer = answerTo(review(injected(podWith())))
    assert.equal(answer.outcome, 'unchanged')
    assert.deepEqual(answer.response, { uid: '7f0b2891', allowed: true })
  })

  it('is answered in a dry run as ever', () => {
    const ever = answerTo(review(podWith()))
    const dry = answerTo(review(podWith(), { dryRun: true }))
    assert.deepEqual(dry.reply, ever.reply)
    assert.equal(dry.facts.dryRun, true)
  })

  it('is denied with every reason, and names the pod', () => {
    const pod = {
      ...podWith({ containers: [{ name: 'a', ports: [{ containerPort: 8443 }] }] }),
      metadata: { generateName: 'api-5d-', annotations: { 'postern.dev/protocol': 'udp' } },
    }
    const { response, outcome, facts } = answerTo(review(pod))
    assert.equal(outcome, 'denied')
    assert.equal(response.allowed, false)
    assert.equal(response.status?.code, 422)
    assert.match(response.status.message, /^pod shop\/api-5d- cannot have the Postern sidecar: /)
    assert.match(response.status.message, /postern\.dev\/protocol: "udp" is not http or tcp; /)
    assert.match(
      response.status.message,
      /spec\.containers\[0\]\.ports\[0\]\.containerPort: port 8443/,
    )
    assert.equal(facts.pod, 'api-5d-')
  })

  it('warns of a misspelt annotation', () => {
    const { response } = answerTo(review(podWith({}, { 'postern.dev/upstream-prot': '1' })))
    assert.equal(response.allowed, true)
    assert.deepEqual(response.warnings, [
      'postern.dev/upstream-prot is not a known annotation, did you mean postern.dev/upstream-port',
    ])
  })

  it('keeps warnings short and few', () => {
    const many = Array.from({ length: 50 }, (_, i): [string, string] => [
      `postern.dev/${'x'.repeat(900)}${i}`,
      '',
    ])
    const { response } = answerTo(review(podWith({}, Object.fromEntries(many))))
    assert.equal(response.warnings?.length, 10)
    assert.ok(response.warnings.every((warning) => warning.length <= 256))
  })

  it('of a pod that does not ask is allowed as it is', () => {
    for (const pod of [podWith(), podWith({ containers: [] }, { 'postern.dev/port': 'x' })]) {
      const answer = answerTo(review(pod), false)
      assert.equal(answer.outcome, 'skipped')
      assert.equal(answer.response.allowed, true)
      assert.equal(answer.response.patch, undefined)
    }
  })

  for (const { name, request } of [
    { name: 'something else', request: { kind: { group: 'apps', version: 'v1', kind: 'Pod' } } },
    { name: 'an update', request: { operation: 'UPDATE' } },
    { name: 'a deletion', request: { operation: 'DELETE', object: null } },
  ]) {
    it(`of ${name} is allowed as it is`, () => {
      const { response } = answerTo(review(podWith(), request))
      assert.deepEqual(response, { uid: '7f0b2891', allowed: true })
    })
  }

  for (const { name, body } of [
    { name: 'v1beta1', body: { ...review({}), apiVersion: 'admission.k8s.io/v1beta1' } },
    { name: 'another kind', body: { ...review({}), kind: 'Pod' } },
    { name: 'no uid', body: review({}, { uid: undefined }) },
    { name: 'no request', body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' } },
    { name: 'a list', body: [] },
  ]) {
    it(`is none: ${name}`, () => assert.equal(admit(body, optionsWith()).kind, 'malformed'))
  }
})

describe('a JSON Patch', () => {
  const json = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<Json>(null, true, 0, 1, 'a', 'b'),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.constantFrom('a', 'b', 'c/d', 'e~f'), tie('value'), { maxKeys: 4 }),
    ),
  })).value

  it('makes one value of the other, whatever they are', () => {
    fc.assert(
      fc.property(json, json, (before, after) => {
        const patch = jsonPatch(before, after)
        assert.ok(isEqual(applyPatch(before, patch), after), JSON.stringify(patch))
        if (isEqual(before, after)) assert.deepEqual(patch, [])
      }),
      { numRuns: 500 },
    )
  })
})

/** RFC 6902, as plainly as can be. */
function applyPatch(before: Json, patch: readonly PatchOperation[]): Json {
  let root = structuredClone(before) as unknown
  for (const one of patch) {
    const keys = one.path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    const last = keys.pop()
    if (last === undefined) {
      assert.ok('value' in one)
      root = structuredClone(one.value)
      continue
    }
    let parent = root as Record<string, unknown>
    for (const key of keys) parent = parent[key] as Record<string, unknown>
    if (Array.isArray(parent)) {
      const gone = one.op === 'add' ? 0 : 1
      assert.ok(Number(last) <= parent.length - gone)
      parent.splice(Number(last), gone, ...('value' in one ? [structuredClone(one.value)] : []))
    } else if (one.op === 'remove') {
      assert.ok(last in parent)
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete
      delete parent[last]
    } else {
      assert.equal(last in parent, one.op === 'replace')
      parent[last] = structuredClone(one.value)
    }
  }
  return root as Json
}
