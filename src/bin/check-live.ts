import { formatAddress } from '../config/address.ts'
import type { SidecarConfig, TcpAddress } from '../config/sidecar-config.ts'
import { systemClock } from '../core/clock.ts'
import { messageOf } from '../core/errors.ts'
import { type CheckedStatus, readStatus } from './admin-answers.ts'
import { askAdmin, noAdminPort } from './admin-client.ts'
import { checkValidity } from './check-identity.ts'
import { type Finding, ok, problem, warning } from './finding.ts'
import { httpGet } from './http-get.ts'
import { version } from './version.ts'

const limits = { patienceMs: 3_000, largestAnswer: 1024 * 1024 }

/** Asks the running sidecar: its health port whether it is ready, its admin port about everything else. */
export async function checkLive({ health, admin }: SidecarConfig): Promise<Finding[]> {
  return [await checkReadiness(health.listen), ...(await checkStatus(admin.listen))]
}

async function checkReadiness(listen: TcpAddress): Promise<Finding> {
  const address = reachable(listen)
  try {
    const { status, text } = await httpGet(address, '/readyz', limits)
    return status === 200
      ? ok(`the sidecar at ${address} is ready`)
      : problem(`the sidecar at ${address} is not ready: ${text.slice(0, 1_000).trim()}`)
  } catch (error) {
    const hint = 'is it running, with the same health.listen?'
    return problem(`the sidecar at ${address} does not answer: ${messageOf(error)}`, hint)
  }
}

async function checkStatus(listen: TcpAddress | 'none'): Promise<Finding[]> {
  if (listen === 'none') return [warning(noAdminPort, 'only its readiness was asked')]
  try {
    return await askAdmin(reachable(listen), '/status', (answer) => checkAll(readStatus(answer)))
  } catch (error) {
    const hint = 'the admin port is on loopback: ask from the pod of the sidecar'
    return [warning(messageOf(error), hint)]
  }
}

function checkAll(status: CheckedStatus): Finding[] {
  return [
    ...checkVersion(status),
    ...checkIdentity(status),
    ...checkFiles(status),
    ...checkAnchors(status),
    ok(`epoch ${status.epoch}, ${status.connectionCount} open connections`),
  ]
}

function checkVersion({ version: running }: CheckedStatus): Finding[] {
  if (running === version()) return []
  return [warning(`the sidecar is of version ${running}, this program of ${version()}`)]
}

function checkIdentity({ identity }: CheckedStatus): Finding[] {
  const { source, connected, spiffeId, notBefore = '', notAfter = '' } = identity
  const agent =
    connected === false
      ? [warning(`the Workload API at ${source} does not answer`, 'it serves with what it has')]
      : []
  if (spiffeId === undefined) return [...agent, problem(`no identity is held, from ${source}`)]
  const nowMs = systemClock.now()
  return [
    ...agent,
    ok(`the identity is ${spiffeId}, from ${source}`),
    ...checkValidity(Date.parse(notAfter), Date.parse(notBefore), nowMs),
  ]
}

function checkFiles({ files }: CheckedStatus): Finding[] {
  return files.map(({ name, result, time, error = '' }) =>
    result === 'refused'
      ? problem(`${name} was refused at ${time}: ${error}`, 'the last good one serves')
      : ok(`${name} is in force, read at ${time}`),
  )
}

const soonMs = 24 * 3_600_000

/** A trust domain whose last anchor ends soon has not been told of the next one. */
function checkAnchors({ trustDomains }: CheckedStatus): Finding[] {
  return trustDomains.flatMap(({ name, anchors }) => {
    const lastMs = Math.max(...anchors.map(({ notAfter }) => Date.parse(notAfter)))
    if (!(lastMs - systemClock.now() < soonMs)) return []
    const end = new Date(lastMs).toISOString()
    return [warning(`the last anchor of ${name} ends at ${end}`, 'its server rotates too late')]
  })
}

function reachable({ kind, host, port }: TcpAddress): string {
  const target = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return formatAddress({ kind, host: target, port })
}
