/**
 * Two sidecars back to back on an embedded Workload API: `node examples/two-sidecars/run.mjs`. Builds dist/ first when it is missing
 * or stale, plays three calls, removes everything at its end, and exits 1 when a call was not answered as it should be.
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildWhenStale } from '../../scripts/lib/build.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const program = fileURLToPath(new URL('../../dist/bin/postern.js', import.meta.url))

buildWhenStale()
const { DevAgent } = await import('../../dist/dev/dev-agent.js')
const { systemClock } = await import('../../dist/core/clock.js')
const { silentLogger } = await import('../../dist/core/logger.js')

const shopId = 'spiffe://corp.example/shop'
const billingId = 'spiffe://partner-a.example/billing'
const directory = await mkdtemp(join(tmpdir(), 'postern-two-'))
const children = []
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')))
let failed = 0

const agent = await DevAgent.start({
  clock: systemClock,
  logger: silentLogger,
  trustDomains: ['corp.example', 'partner-a.example'],
})
await agent.listen({ socketPath: join(directory, 'shop.sock'), spiffeId: shopId })
await agent.listen({ socketPath: join(directory, 'billing.sock'), spiffeId: billingId })
const workload = await startBilling()
try {
  const billing = await startSidecar('billing', {
    POSTERN_INBOUND_UPSTREAM: `127.0.0.1:${workload.address().port}`,
  })
  const shop = await startSidecar('shop', {}, (text) =>
    text
      .replace('listen: 127.0.0.1:9001', 'listen: 127.0.0.1:0')
      .replace('upstream: 127.0.0.1:8444', `upstream: 127.0.0.1:${billing.inboundPort}`),
  )
  await play(shop.outboundPorts[0])
} finally {
  for (const child of children) child.kill('SIGTERM')
  workload.closeAllConnections()
  workload.close()
  await agent.close()
  await rm(directory, { recursive: true, force: true })
}
process.exit(failed === 0 ? 0 : 1)

async function play(port) {
  console.log(
    `The shop calls http://127.0.0.1:${port} in plaintext, and claims to be somebody else:\n`,
  )
  expect('trusted', await call(port), { status: 200, principal: shopId })
  await agent.renewNow()
  expect('with new SVIDs on both sides', await call(port), { status: 200, principal: shopId })
  await agent.defederate('corp.example', 'partner-a.example')
  const refused = await until(
    () => call(port),
    ({ reason }) => reason === 'peer_untrusted',
  )
  expect('after the trust domains parted', refused, { status: 502, reason: 'peer_untrusted' })
}

function expect(what, reply, expected) {
  const isAsExpected = Object.entries(expected).every(([key, value]) => reply[key] === value)
  if (!isAsExpected) failed++
  const told =
    reply.principal === undefined ? reply.detail : `billing was told that ${reply.principal} calls`
  console.log(`  ${isAsExpected ? '✔' : '✘'} ${what.padEnd(32)} ${reply.status}  ${told}`)
}

/** The workload that is called: answers with who calls, as its sidecar says. */
function startBilling() {
  const server = createServer((incoming, outgoing) => {
    const { 'x-postern-principal': principal, 'x-postern-product': product } = incoming.headers
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(JSON.stringify({ principal, product }))
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

/** Resolves with its ports when it is ready. */
async function startSidecar(name, env, change = (text) => text) {
  const home = join(directory, name)
  await cp(join(here, name), home, { recursive: true })
  const file = join(home, 'postern.yaml')
  await writeFile(file, change(await readFile(file, 'utf8')))
  const child = spawn(process.execPath, [program, 'run', '--config', file], {
    env: {
      PATH: process.env.PATH,
      POSTERN_IDENTITY_WORKLOAD_API: `unix://${join(directory, `${name}.sock`)}`,
      POSTERN_INBOUND_LISTEN: '127.0.0.1:0',
      POSTERN_HEALTH_LISTEN: '127.0.0.1:0',
      POSTERN_ADMIN_LISTEN: '127.0.0.1:0',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  let ports
  for await (const line of createInterface({ input: child.stderr })) {
    const { msg, ...fields } = JSON.parse(line)
    if (msg === 'listening') ports = fields
    if (msg === 'identity in service') break
  }
  child.stderr.resume()
  if (ports === undefined) throw new Error(`the sidecar of ${name} did not start`)
  return ports
}

function call(port) {
  return new Promise((resolve, reject) => {
    const headers = { 'x-postern-principal': 'spiffe://corp.example/admin' }
    const outgoing = request({ port, agent: false, path: '/v1/invoices', headers }, (incoming) => {
      let text = ''
      incoming.on('data', (chunk) => (text += chunk))
      incoming.on('end', () => resolve({ status: incoming.statusCode, ...JSON.parse(text) }))
    })
    outgoing.once('error', reject)
    outgoing.end()
  })
}

/** A change of trust takes a moment to arrive; at most so many calls are made meanwhile. */
async function until(make, isDone, most = 200) {
  let result = await make()
  for (let i = 0; i < most && !isDone(result); i++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    result = await make()
  }
  return result
}
