import { fileURLToPath } from 'node:url'
import type { Credentials } from './credentials.ts'
import { cores, PinnedProcess } from './pinned-process.ts'
import type { WorkloadKind } from './scenario.ts'

const program = fileURLToPath(new URL('workload.ts', import.meta.url))

/** Starts what stands behind the proxies; the caller stops it. */
export async function startWorkload(
  kind: WorkloadKind,
  { serverCertificate, serverKey, ca }: Credentials,
): Promise<{ readonly process: PinnedProcess; readonly port: number }> {
  const workload = PinnedProcess.start({
    core: cores.others,
    command: process.execPath,
    args: ['--import', 'tsx', program, kind, serverCertificate, serverKey, ca],
  })
  return { process: workload, port: Number(await workload.firstLine()) }
}
