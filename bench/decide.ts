import { hash } from 'node:crypto'
import { ApiKeyTable } from '../src/policy/api-key-table.ts'
import { ApiKeys } from '../src/policy/api-keys.ts'
import { decide, type DecisionInput } from '../src/policy/decide.ts'
import { RateLimiter } from '../src/policy/rate-limiter.ts'
import { anonymous, mapOf, now, product, svid, trustOf } from '../test/policy/support/policy.ts'

/** Prints the cost of `decide` (DESIGN.md 13): at most 5 us for a known peer, the same for any number of products and keys. */
function main(): void {
  for (const products of [10, 10_000]) {
    const map = mapOf(...Array.from({ length: products }, (_, i) => productNumber(i)))
    const trust = trustOf({ products: map })
    const asked = peersOf(products)
    measure(
      `SVID, ${products} products`,
      asked.map(({ peer, path }) => inputOf({ trust, peer }, path)),
    )
  }
  const products = mapOf(product('p0', { apiKeys: 'accept' }))
  for (const keys of [10, 1_000_000]) {
    const startedMs = performance.now()
    const apiKeys = keysNumbered(keys)
    const tookMs = Math.round(performance.now() - startedMs)
    const trust = trustOf({ products, apiKeys })
    const asked = Array.from({ length: 64 }, (_, i) => keyNumber((i * 7_919) % keys))
    measure(
      `API key, ${keys} keys (table built in ${tookMs} ms)`,
      asked.map((apiKey) => inputOf({ trust, peer: anonymous, apiKey }, '/v1/p0/1')),
    )
  }
}

function productNumber(i: number) {
  return product(`p${i}`, {
    callers: [
      `trustDomain: t${i}.example`,
      `spiffeId: spiffe://corp.example/ns/p${i}/**`,
      `spiffeId: spiffe://corp.example/batch/p${i}/*`,
      `spiffeId: spiffe://corp.example/one/p${i}`,
    ],
    requests: [{ methods: ['GET', 'POST'], paths: [`/v1/p${i}/**`] }],
    limit: { count: 1_000, periodMs: 1, burst: 1_000_000, per: 'principal', text: '1000/ms' },
  })
}

function peersOf(products: number) {
  return Array.from({ length: 64 }, (_, n) => {
    const i = (n * 7_919) % products
    const ids = [
      `spiffe://t${i}.example/ns/default/sa/app`,
      `spiffe://corp.example/ns/p${i}/sa/app`,
      `spiffe://corp.example/batch/p${i}/job`,
      `spiffe://corp.example/one/p${i}`,
    ]
    return { peer: svid(ids[n % ids.length] ?? ''), path: `/v1/p${i}/orders/17?full=1` }
  })
}

function keyNumber(i: number): string {
  return `pst_k_${i.toString(16).padStart(8, '0')}_${'x'.repeat(49)}`
}

function keysNumbered(count: number): ApiKeys {
  const table = new ApiKeyTable(count)
  for (let i = 0; i < count; i++) {
    table.add({
      id: `k_${i.toString(16).padStart(8, '0')}`,
      sha256: hash('sha256', keyNumber(i)),
      product: 'p0',
      consumer: `consumer-${i}`,
      notBeforeMs: -Infinity,
      expiresMs: Infinity,
      line: i,
    })
  }
  return ApiKeys.from(table)
}

function inputOf(
  parts: Pick<DecisionInput, 'trust' | 'peer' | 'apiKey'>,
  path: string,
): DecisionInput {
  return {
    request: { method: 'GET', host: 'api.example:8443', path },
    rules: { untrustedCertificate: 'refuse' },
    nowMs: now,
    limiter,
    ...parts,
  }
}

const limiter = new RateLimiter()
const rounds = 200_000

/** The best of five rounds, after one to warm up. */
function measure(name: string, inputs: readonly DecisionInput[]): void {
  const us: number[] = []
  for (let round = 0; round < 6; round++) {
    const startedMs = performance.now()
    for (let i = 0; i < rounds; i++) {
      const input = inputs[i % inputs.length]
      if (input === undefined || decide(input).outcome !== 'allow') throw new Error('not allowed')
    }
    us.push(((performance.now() - startedMs) * 1_000) / rounds)
  }
  console.log(`${name}: ${Math.min(...us.slice(1)).toFixed(2)} us`)
}

main()
console.log(`${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB resident`)
