/**
 * What a caller's certificate and a change of the files cost: `npm run bench -- validation`. CPU microseconds and bytes allocated for
 * judging a chain with an intermediate: never seen before, known from an earlier epoch, and within one epoch; and CPU time and heap
 * for reading 10,000 products and 100,000 keys anew.
 */
import { hash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadCallerFiles } from '../src/app/caller-files.ts'
import { Verdicts } from '../src/inbound/verdicts.ts'
import { ApiKeys } from '../src/policy/api-keys.ts'
import { ProductMap } from '../src/policy/product-map.ts'
import type { TrustState } from '../src/policy/trust-state.ts'
import type { PresentedChain } from '../src/tls/presented-chain.ts'
import { TestCa } from '../test/support/test-ca.ts'

const chainCount = 500
const rounds = 9
const [productCount, keyCount] = [10_000, 100_000]

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

await measureVerdicts()
await measureReload()

async function measureVerdicts(): Promise<void> {
  const root = await TestCa.root('corp')
  const issuer = await root.intermediate()
  const chains: PresentedChain[] = []
  while (chains.length < chainCount) chains.push(await chainBelow(issuer, chains.length))
  const bundles = new Map([['corp.example', root.bundle('corp.example')]])
  const state = (epoch: number): TrustState => ({
    ...{ epoch, bundles: new Map(bundles), hasIdentity: true },
    ...{ products: ProductMap.of([], []), apiKeys: ApiKeys.empty },
  })
  const nowMs = Date.now()
  const judgeAll = (verdicts: Verdicts, trust: TrustState) => {
    for (const chain of chains) {
      if (verdicts.judge(chain, trust, nowMs).kind !== 'svid') throw new Error('not proven')
    }
  }
  const known = new Verdicts()
  judgeAll(known, state(0))
  let epoch = 0
  print('a chain never seen before', () => judgeAll(new Verdicts(), state(0)))
  print('in a new epoch', () => judgeAll(known, state(++epoch)))
  const current = state(epoch)
  print('within an epoch', () => judgeAll(known, current))
}

async function chainBelow(issuer: TestCa, i: number): Promise<PresentedChain> {
  const leaf = await issuer.leaf({ spiffeId: `spiffe://corp.example/caller/${i}` })
  const certificates = leaf.certificates.map(({ der }) => der)
  return { certificates, digest: leaf.certificates.map(({ sha256 }) => sha256).join() }
}

/** The median of the rounds; `work` does it for each chain. */
function print(what: string, work: () => void): void {
  const all = Array.from({ length: rounds }, () => measured(work))
  const [microseconds, bytes] = [
    median(all.map((one) => one.cpu)),
    median(all.map((one) => one.bytes)),
  ]
  console.log(
    `${what}: ${(microseconds / chainCount).toFixed(1)} us CPU, ${Math.round(bytes / chainCount)} bytes allocated`,
  )
}

async function measureReload(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-validation-'))
  try {
    const paths = { products: join(folder, 'products.yaml'), apiKeys: join(folder, 'keys.yaml') }
    await writeFile(paths.products, productsText())
    await writeFile(paths.apiKeys, keysText())
    const { cpu, bytes } = measured(() => {
      loadCallerFiles({ ...paths, allowRemoteUpstream: false })
    })
    console.log(
      `${productCount} products and ${keyCount} keys read anew: ${Math.round(cpu / 1_000)} ms CPU, ` +
        `${Math.round(bytes / 2 ** 20)} MiB allocated beyond what was collected meanwhile`,
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}

function measured(work: () => void): { readonly cpu: number; readonly bytes: number } {
  collectGarbage()
  const heapBefore = process.memoryUsage().heapUsed
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return { cpu: user + system, bytes: process.memoryUsage().heapUsed - heapBefore }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0
}

function productsText(): string {
  const lines = ['version: 1', 'products:']
  for (let i = 0; i < productCount; i++) {
    lines.push(`  p${i}:`, `    callers: [{ spiffeId: spiffe://corp.example/p${i}/** }]`)
    lines.push('    apiKeys: accept')
  }
  return `${lines.join('\n')}\n`
}

function keysText(): string {
  const lines = ['version: 1', 'keys:']
  for (let i = 0; i < keyCount; i++) {
    const id = `k_${i.toString(16).padStart(8, '0')}`
    const sha256 = hash('sha256', id)
    lines.push(
      `  - { id: ${id}, sha256: "${sha256}", product: p${i % productCount}, consumer: c${i} }`,
    )
  }
  return `${lines.join('\n')}\n`
}
