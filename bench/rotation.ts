/**
 * Rotation under load: `npm run bench -- rotation` (`-- [rotations]`). The embedded Workload API issues the sidecar one SVID after
 * the other while callers of every kind connect and keep connections busy, over mTLS and with keys, in HTTP/1.1 and HTTP/2.
 * DESIGN.md 13: no failed handshake, no failed request; and no growth of memory after the first tenth. Prints what failed and
 * what is in memory after each tenth, and ends with 1 when anything failed.
 */
import { Mesh } from '../test/e2e/support/mesh.ts'
import { rotate, rotationKeys, RotationLoad } from '../test/e2e/support/rotation-load.ts'
import type { LoadReport } from '../test/e2e/support/rotation-load/callers.ts'
import { nextWindow, type Window, windowEnvironment } from '../test/support/window.ts'

const parts = 10

async function main([rotations = '10000']: string[]): Promise<void> {
  await using mesh = await Mesh.start({
    keys: rotationKeys,
    config: { audit: { file: '/dev/null' } },
    env: windowEnvironment,
  })
  mesh.workload.answerWith((_request, response) => response.end('hello'))
  using load = await RotationLoad.start(mesh)
  const each = Math.ceil(Number(rotations) / parts)
  const windows: Window[] = []
  for (let part = 1; part <= parts; part++) {
    const startedMs = performance.now()
    await rotate(mesh, each)
    const seconds = (performance.now() - startedMs) / 1_000
    windows.push(await nextWindow(mesh.postern))
    printPart(part * each, each / seconds, windows.at(-1), await load.report())
  }
  const { failures, svidsSeen, handshakes, requests } = await load.stop()
  for (const failure of failures.slice(0, 20)) console.log(failure)
  console.log(
    `${handshakes} handshakes and ${requests} requests, ${failures.length} failed; callers saw ${svidsSeen} SVIDs`,
  )
  printGrowth(windows, each)
  process.exitCode = failures.length === 0 ? 0 : 1
}

function printPart(
  rotations: number,
  perSecond: number,
  window: Window | undefined,
  { handshakes, requests, failures }: LoadReport,
): void {
  if (window === undefined) return
  console.log(
    `${rotations} rotations (${perSecond.toFixed(0)}/s): ${handshakes} handshakes, ${requests} requests, ` +
      `${failures.length} failed; ${mebibytes(window.heapBytes)} MiB heap, ${mebibytes(window.residentBytes)} MiB resident, ` +
      `longest pause ${window.longestPauseMs.toFixed(0)} ms`,
  )
}

function printGrowth(windows: readonly Window[], each: number): void {
  const [first, last] = [windows[0], windows.at(-1)]
  if (first === undefined || last === undefined) return
  const rotations = each * (windows.length - 1)
  const grown = (bytes: number) =>
    `${mebibytes(bytes)} MiB, ${(bytes / rotations).toFixed(0)} bytes a rotation`
  console.log(`heap grew by ${grown(last.heapBytes - first.heapBytes)}`)
  console.log(`resident grew by ${grown(last.residentBytes - first.residentBytes)}`)
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}

await main(process.argv.slice(2))
