/**
 * What large revocation lists cost: `npm run bench -- revocation` (`-- [entries]`). An authority of the built program names a
 * list of so many entries, which is renewed as PEM and as DER; then one of a CA below it, whose signature is checked when the
 * first caller presents that CA. Prints how long a list takes from the file to its being in force, the pauses of the event
 * loop meanwhile (bound 50 ms), CPU, and resident memory; and what a caller below costs with and without a list to be asked.
 */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { finish } from '../src/core/steps.ts'
import { authenticate } from '../src/policy/authenticate.ts'
import { RevocationList } from '../src/x509/revocation-list.ts'
import { identityOf } from '../test/e2e/support/caller.ts'
import { Mesh } from '../test/e2e/support/mesh.ts'
import { type EntrySpec, toPem } from '../test/support/revocation-list-writer.ts'
import { TestCa } from '../test/support/test-ca.ts'
import { nextWindow, type Window, windowEnvironment } from '../test/support/window.ts'

const pauseBoundMs = 50
const rounds = 3
const quietMs = 2_000

async function main([count = '100000']: string[]): Promise<void> {
  await measureProgram(Number(count))
  await measureVerdicts(Number(count))
}

async function measureProgram(count: number): Promise<void> {
  await using mesh = await Mesh.start({
    authorities: { 'partner-b': { crl: ['b.crl'] } },
    config: { audit: { file: '/dev/null' } },
    env: windowEnvironment,
  })
  const { postern, partnerB } = mesh
  await sleep(quietMs)
  printWindow('nothing happens', await nextWindow(postern))
  for (let round = 0; round < rounds; round++) {
    await renew(mesh, `PEM, ${count} entries`, toPem(partnerB.revocationList([], entriesOf(count))))
    await renew(mesh, `DER, ${count} entries`, partnerB.revocationList([], entriesOf(count)))
  }
  const middle = await partnerB.intermediate()
  await renew(
    mesh,
    `DER of a CA below, ${count} entries`,
    middle.revocationList([], entriesOf(count)),
  )
  const caller = mesh.caller(identityOf(await middle.leaf()))
  const { status } = await caller.call()
  printWindow(`its first caller (${status})`, await nextWindow(postern))
}

async function renew(mesh: Mesh, what: string, bytes: string | Buffer): Promise<void> {
  const { postern } = mesh
  const taken = () =>
    postern.metric('postern_config_reloads_total', { file: 'crl', result: 'accepted' })
  const before = await taken()
  await nextWindow(postern)
  const startedMs = performance.now()
  await writeFile(postern.path('b.crl'), bytes)
  await postern.until('the list is in force', async () => (await taken()) > before, 60_000)
  const tookMs = Math.round(performance.now() - startedMs)
  printWindow(`${what}, in force after ${tookMs} ms`, await nextWindow(postern))
}

function printWindow(what: string, window: Window): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`
  console.log(
    `${what}: longest pause ${ms(window.longestPauseMs)}, without waits for a CPU ${ms(window.longestOwnPauseMs)}` +
      ` (bound ${pauseBoundMs} ms), ${Math.round(window.cpuMs)} ms CPU,` +
      ` ${Math.round(window.residentBytes / 2 ** 20)} MiB resident`,
  )
}

/** The signature of the caller and of the list are checked by then: what is left is the path and the look-up. */
async function measureVerdicts(count: number): Promise<void> {
  const root = await TestCa.root('partner-b')
  const leaf = await root.leaf()
  const der = root.revocationList([], entriesOf(count))
  for (const lists of [[], [finish(RevocationList.read(der))]]) {
    const revocation = { lists, required: lists.length > 0 }
    const authority = { alias: 'b', anchors: [root.certificate], revocation }
    const trust = { bundles: new Map(), authorities: new Map([['b', authority]]) }
    const us = bestOf(() => {
      if (authenticate(leaf.certificates, trust, Date.now()).kind !== 'certificate')
        throw new Error('not accepted')
    })
    console.log(`one verdict with ${lists.length} lists of ${count} entries: ${us.toFixed(0)} us`)
  }
}

function bestOf(act: () => void): number {
  const times: number[] = []
  for (let round = 0; round < 6; round++) {
    const startedMs = performance.now()
    for (let i = 0; i < 500; i++) act()
    times.push(((performance.now() - startedMs) * 1_000) / 500)
  }
  return Math.min(...times)
}

function entriesOf(count: number): { entries: EntrySpec[]; thisUpdateMs: number } {
  const entries = Array.from({ length: count }, () => ({
    serial: BigInt(`0x7f${randomBytes(15).toString('hex')}`),
    reason: 1,
  }))
  return { entries, thisUpdateMs: Math.floor(Date.now() / 1_000) * 1_000 }
}

await main(process.argv.slice(2))
