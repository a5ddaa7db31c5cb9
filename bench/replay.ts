import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AuditLines } from '../src/telemetry/audit-line.ts'
import { SpiffeId } from '../src/spiffe/spiffe-id.ts'
import { allow, outcomeOf, recordOf, svidPeer } from '../test/telemetry/support/records.ts'

const program = fileURLToPath(new URL('../dist/bin/postern.js', import.meta.url))
const linesPerBlock = 10_000

/**
 * Prints what `postern replay` takes for logs of several lengths, read from a pipe: seconds, and the largest resident memory,
 * which must not grow with the log. `npm run build` first.
 */
async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'postern-bench-'))
  try {
    const products = join(directory, 'products.yaml')
    await writeFile(products, productsText())
    const block = await makeBlock()
    for (const blocks of [10, 100]) await measure(products, block, blocks)
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** A thousand products, of which one lost its caller. */
function productsText(): string {
  const products = Array.from({ length: 1_000 }, (_, i) => {
    const caller = i === 7 ? 'stranger' : `caller-${i}`
    return `  product-${i}:\n    callers: [{ spiffeId: spiffe://corp.example/${caller} }]\n    requests: [{ methods: [GET], paths: [/v1/**] }]\n`
  })
  return `version: 1\nproducts:\n${products.join('')}`
}

async function makeBlock(): Promise<Buffer> {
  const lines = new AuditLines()
  const peer = await svidPeer()
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const texts = Array.from({ length: linesPerBlock }, (_, i) => {
    const caller = i % 1_000
    const id = `spiffe://corp.example/caller-${caller}`
    const decision = allow({ product: `product-${caller}`, principal: id })
    const record = recordOf({
      id: `d_1y2p0ij32e8e7_${i.toString(36)}`,
      atMs: Date.now() + i,
      peer: { ...peer, id: SpiffeId.parse(id) },
      decision,
      request: { method: 'GET', host: 'api.example', path: `/v1/orders/${i}` },
    })
    return lines.render(traceId, record, outcomeOf())
  })
  return Buffer.from(texts.join(''))
}

async function measure(products: string, block: Buffer, blocks: number): Promise<void> {
  const startedMs = performance.now()
  const args = ['replay', '--audit', '-', '--products', products, '-o', 'json']
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const output = textOf(child)
  let peakMiB = 0
  for (let i = 0; i < blocks; i++) {
    if (!child.stdin.write(block)) await once(child.stdin, 'drain')
    peakMiB = Math.max(peakMiB, await peakOf(child))
  }
  child.stdin.end()
  const summary = JSON.parse(await output) as { replayed: number; changed: object }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1)
  const { replayed, changed } = summary
  console.log(`${replayed} lines: ${seconds} s, ${peakMiB} MiB`, JSON.stringify(changed))
}

async function peakOf({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024)
}

async function textOf({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of stdout ?? []) text += String(chunk)
  return text
}

await main()
