import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Duplex, Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { exitCodes } from '../../src/bin/exit-codes.ts'
import { createProgram } from '../../src/bin/program.ts'
import { parseApiKeys } from '../../src/config/api-keys-file.ts'
import { parseProducts } from '../../src/config/products-file.ts'
import { parseSidecarConfig } from '../../src/config/sidecar-config.ts'
import { type Call, callsAfterRotation, firstCalls } from '../../src/dev/demo/calls.ts'
import { type RefusalCode, refusal } from '../../src/http1/refusal.ts'
import { requestRefusals } from '../../src/http2/request-head.ts'
import { identityFields } from '../../src/inbound/identity-fields.ts'
import type { AllowReason, DenyReason } from '../../src/policy/decision.ts'
import { denyPeer, parseExpectedPeer, type PeerDenyReason } from '../../src/policy/peer-decision.ts'
import type { UpstreamFailureReason } from '../../src/proxy/ends.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { authorizeAttributes } from '../../src/telemetry/span-attributes.ts'
import { allow, recordOf } from '../telemetry/support/records.ts'
import { TestCa } from '../support/test-ca.ts'
import { Readme, root } from './support/readme.ts'

// Keyed by the type, so that the compiler finds the one that was forgotten.

const denials: Readonly<Record<DenyReason, '401' | '403' | '429' | '503'>> = {
  address_not_allowed: '403',
  identity_unavailable: '503',
  certificate_malformed: '403',
  certificate_expired: '403',
  certificate_not_yet_valid: '403',
  certificate_not_for_client_auth: '403',
  certificate_not_for_server_auth: '403',
  svid_malformed: '403',
  trust_domain_unknown: '403',
  issuer_unknown: '403',
  path_invalid: '403',
  certificate_revoked: '403',
  revocation_unknown: '403',
  product_unmapped: '403',
  credential_missing: '401',
  api_key_unknown: '401',
  api_key_expired: '401',
  api_key_not_yet_valid: '401',
  credential_not_accepted: '403',
  request_not_allowed: '403',
  audit_unavailable: '503',
  rate_limited: '429',
}
const allows: Readonly<Record<AllowReason, 'allow'>> = {
  svid_trust_domain: 'allow',
  svid_id: 'allow',
  authority: 'allow',
  api_key: 'allow',
}
/** Those that are no denial of a caller and no failure of the workload. */
const peerDenials: Readonly<
  Record<Exclude<PeerDenyReason, DenyReason | UpstreamFailureReason>, '502'>
> = {
  peer_untrusted: '502',
  peer_unexpected: '502',
  handshake_failed: '502',
}
const failures: Readonly<Record<UpstreamFailureReason, string>> = {
  upstream_unavailable: '503',
  upstream_overloaded: '503',
  upstream_reset: '502',
  upstream_malformed: '502',
  upstream_timeout: '504',
  websocket_unsupported: '501',
}
const refusals: Readonly<Record<RefusalCode, true>> = {
  line_ending_malformed: true,
  field_malformed: true,
  field_folded: true,
  connection_malformed: true,
  content_length_malformed: true,
  framing_ambiguous: true,
  transfer_encoding_unsupported: true,
  chunk_malformed: true,
  chunk_head_too_large: true,
  trailer_forbidden: true,
  trailers_too_large: true,
  head_too_large: true,
  too_many_fields: true,
  version_unsupported: true,
  request_line_malformed: true,
  request_line_too_long: true,
  target_malformed: true,
  method_not_allowed: true,
  host_missing: true,
  host_ambiguous: true,
  host_malformed: true,
  host_mismatch: true,
  expectation_unsupported: true,
  head_too_slow: true,
}

/** Answers by reason, as the code gives them. */
function answersOfCode(): Map<string, string> {
  const http1 = Object.keys(refusals).map((code) => {
    const { status } = refusal(code as RefusalCode, '')
    return [code, String(status)] as const
  })
  const http2 = Object.entries(requestRefusals).map(
    ([code, status]) => [code, String(status)] as const,
  )
  const ours = {
    body_too_large: '413',
    body_too_slow: '408',
    websocket_malformed: '400',
    websocket_version_unsupported: '400',
    protocol_unsupported: '501',
  }
  const decided = { ...denials, ...allows, ...peerDenials, ...failures, ...ours }
  return new Map([...Object.entries(decided), ...http1, ...http2])
}

describe('README.md', () => {
  const readme = new Readme()

  it('has the tables of settings and error codes that the code makes', () => {
    const script = join(root, 'scripts/readme-tables.mjs')
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8',
    })

    assert.equal(status, 0, stderr)
  })

  it('names every reason with its answer, and no other', () => {
    const section = readme.section('The decision')
    const written = section.rows.flatMap(([reasons = '', answer = '']) =>
      [...reasons.matchAll(/`(\w+)`/g)].map(([, reason = '']) => [reason, answer] as const),
    )

    assert.deepEqual(sorted(written), sorted([...answersOfCode()]))
  })

  it('names every metric with its labels, and no other', async () => {
    const text = await observedMetrics()
    const section = readme.section('What one sees')
    const written = section.rows.map(([name = '', labels = '']) => [
      name.replaceAll('`', ''),
      labels,
    ])

    assert.deepEqual(sorted(written), sorted(labelsOf(text)))
  })

  it('names every attribute of the authorize span, and none that there is not', () => {
    const own = /^(?:postern|spiffe|tls)\./
    const attributes = Object.keys(authorizeAttributes(recordOf())).filter((name) => own.test(name))
    const written = readme.section('What one sees').codes.filter((code) => own.test(code))

    assert.deepEqual(written.sort(), attributes.sort())
  })

  it('names every header that the workload gets', () => {
    const origin = { clientAddress: '10.0.0.1', scheme: 'https' } as const
    const fields = identityFields(allow({ consumer: 'acme' }), origin)
    const names = fields.filter((_, index) => index % 2 === 0)
    const written = readme.section('What the workload gets').named

    for (const name of names) assert.ok(written.includes(name), name)
    const extra = written.filter((name) => name.startsWith('x-postern-') && !names.includes(name))
    assert.deepEqual(extra, [])
  })

  it('names every command of the program, and no other', () => {
    const program = createProgram(terminal())
    const commands = program.commands.map((command) => `postern ${command.name()}`)
    const written = readme
      .section('The command line')
      .named.filter((name) => name.startsWith('postern '))

    assert.deepEqual(written.sort(), commands.sort())
  })

  it('names every exit code', () => {
    const written = readme.section('The command line').rows.map(([first]) => first)

    for (const code of Object.values(exitCodes))
      assert.ok(written.includes(String(code)), `${code}`)
  })

  it('gives a reason for every dependency, and names no other', () => {
    const { dependencies, devDependencies } = packageJson()
    const all = [...Object.keys(dependencies), ...Object.keys(devDependencies)]
    const reasons = readme.section('Dependencies').rows

    assert.deepEqual(readme.section('Dependencies').named.sort(), all.sort())
    for (const [names, reason = ''] of reasons) assert.ok(reason.length > 10, names)
  })

  it('names only scripts that there are', () => {
    const { scripts } = packageJson()
    const named = [...readme.text.matchAll(/npm (?:run )?(\w+)/g)].map(([, name = '']) => name)

    assert.ok(named.length > 4)
    for (const name of named) assert.ok(Object.hasOwn(scripts, name), name)
  })

  it('has the layers that the lint rule keeps', async () => {
    const written = readme.section('Work on it').rows.map(([row, folders = '']) => ({
      row: Number(row),
      folders: [...folders.matchAll(/`([\w-]+)`/g)].map(([, name]) => name),
    }))

    assert.deepEqual(written, await layers())
  })

  it('links to files that there are', () => {
    const targets = [...readme.text.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, to = '']) => to)

    assert.ok(targets.length > 3)
    for (const target of targets) assert.ok(existsSync(join(root, target)), target)
  })

  it('shows the table that the demo prints', () => {
    const written = readme
      .example('demo')
      .split('\n')
      .filter((line) => line.startsWith('  ✔ '))
      .map((line) => line.slice(4).split(/ {2,}/))

    assert.deepEqual(written, [...firstCalls, ...callsAfterRotation].map(cellsOf))
  })

  describe('has examples that parse:', () => {
    it('postern.yaml', () => {
      const config = parseSidecarConfig(readme.example('config'), 'postern.yaml', {})
      assert.equal(config.inbound.listen.port, 8443)
    })

    it('products.yaml', async () => {
      const { pem } = await TestCa.root('partner-b')
      const products = parseProducts(readme.example('products'), 'products.yaml', {
        readPem: () => pem,
        allowRemoteUpstream: false,
      })
      assert.deepEqual([...products.products.keys()], ['payments'])
    })

    it('api-keys.yaml', () => {
      assert.equal(parseApiKeys(readme.example('keys'), 'api-keys.yaml').size, 1)
    })
  })

  describe('says what is not there yet, as long as it is not:', () => {
    const section = readme.section('Not there yet')
    const source = sourceOutside('config')

    const pieces: readonly { name: string; exists: boolean }[] = [
      { name: 'outbound', exists: existsSync(join(root, 'src/outbound')) },
      { name: 'admin.listen', exists: /config\.admin|admin\.listen|\badmin,/.test(source) },
      { name: 'inbound.forwardClientCert', exists: source.includes('forwardClientCert') },
      ...['replay', 'inject', 'webhook'].map((name) => ({
        name: `postern ${name}`,
        exists: createProgram(terminal()).commands.some((command) => command.name() === name),
      })),
    ]
    for (const { name, exists } of pieces) {
      it(name, () => assert.equal(section.named.includes(name), !exists))
    }

    it('WebSocket', () => {
      const exists = /upgrade.{0,40}websocket|sec-websocket/i.test(source)
      assert.equal(
        section.rows.some(([first]) => first === 'WebSocket'),
        !exists,
      )
    })
  })
})

function sorted(pairs: readonly (readonly string[])[]): string[] {
  return pairs.map((pair) => pair.join(' ')).sort()
}

function cellsOf({ caller, expected }: Call): string[] {
  const { status, product = '-', principal = '-', reason } = expected
  return [caller, status, product, principal, reason]
}

/** Metrics after at least one observation of each. */
async function observedMetrics(): Promise<string> {
  const metrics = new Metrics()
  metrics.decisions.count(allow())
  metrics.requests.observe('payments', 200, 1)
  metrics.outbound.decided(denyPeer('peer_untrusted', parseExpectedPeer('b:1', 'b'), 1, ''))
  metrics.outbound.requests.observe('b:1', 200, 1)
  metrics.identity({ spiffeId: 'spiffe://corp.example/api', notBeforeMs: 0, notAfterMs: 0 })
  metrics.bundles([{ trustDomain: 'corp.example', notAfterMs: 0 }])
  metrics.crls([{ authority: 'partner-b', nextUpdateMs: 0 }])
  return metrics.text()
}

/** Name and labels of each metric of a text. */
function labelsOf(text: string): [string, string][] {
  return [...text.matchAll(/^# TYPE (\w+) \w+\n\w+(?:\{(.*)\})? /gm)].map(
    ([, name = '', labels = '']) => [
      name,
      [...labels.matchAll(/(\w+)="/g)]
        .map(([, label]) => label)
        .filter((label) => label !== 'le')
        .join(', '),
    ],
  )
}

function packageJson() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    'dependencies' | 'devDependencies' | 'scripts',
    Record<string, string>
  >
}

/** Rows and folders of layers.mjs. */
async function layers(): Promise<{ row: number; folders: string[] }[]> {
  const module = (await import(pathToFileURL(join(root, 'layers.mjs')).href)) as {
    readonly layers: readonly { readonly row: number; readonly folders: string[] }[]
  }
  return module.layers.map(({ row, folders }) => ({ row, folders }))
}

/** All of src/ but one folder. */
function sourceOutside(folder: string): string {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.startsWith(`${folder}/`))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
    .join('\n')
}

function terminal() {
  const nowhere = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  return {
    env: {},
    stdin: Readable.from([]),
    stdout: nowhere,
    stderr: nowhere,
    isInteractive: false,
    shutdown: new AbortController().signal,
    onHangup: () => undefined,
    onRotate: () => undefined,
    setExitCode: () => undefined,
  }
}
