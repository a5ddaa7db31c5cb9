import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Mesh } from './support/mesh.ts'

const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' }
const sdk = /\/@opentelemetry\/(sdk-trace|otlp-transformer|resources)\//

/** What is loaded is most of a start: `npm run bench -- start`. */
describe('a start loads', () => {
  it('no SDK of OpenTelemetry where no spans are exported, and nothing of other commands', async () => {
    const loaded = await loadedBy({})
    assert.ok(loaded.some((url) => url.endsWith('/dist/app/run-sidecar.js')))
    const others =
      /\/@opentelemetry\/(?!semantic-conventions\/)|\/@peculiar\/|\/dist\/(dev|injector\/(webhook|manifest))\//
    assert.deepEqual(
      loaded.filter((url) => others.test(url)),
      [],
    )
  })

  for (const [protocol, wanted, unwanted] of [
    ['http/protobuf', 'exporter-trace-otlp-proto', 'exporter-trace-otlp-grpc'],
    ['grpc', 'exporter-trace-otlp-grpc', 'exporter-trace-otlp-proto'],
  ] as const) {
    it(`the exporter for ${protocol} alone where that is asked for`, async () => {
      const loaded = await loadedBy({ ...collector, OTEL_EXPORTER_OTLP_PROTOCOL: protocol })
      assert.ok(loaded.some((url) => sdk.test(url)))
      assert.ok(loaded.some((url) => url.includes(`/@opentelemetry/${wanted}/`)))
      assert.ok(!loaded.some((url) => url.includes(`/@opentelemetry/${unwanted}/`)))
    })
  }
})

/** The modules of the built program when it was ready; V8 tells at its end. */
async function loadedBy(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-start-'))
  try {
    const mesh = await Mesh.start({ env: { ...env, NODE_V8_COVERAGE: folder } })
    await mesh.close()
    return readdirSync(folder).flatMap((name) => {
      const report = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
        readonly result: readonly { readonly url: string }[]
      }
      return report.result.map(({ url }) => url)
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
