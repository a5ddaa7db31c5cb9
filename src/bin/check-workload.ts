import { connect } from 'node:net'
import { type Address, formatAddress, parseAddress } from '../config/address.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import type { ProductMap } from '../policy/product-map.ts'
import { type Finding, ok, warning } from './finding.ts'

const patienceMs = 3_000
const mostAddresses = 20

/** Whether the workload listens, on its own port and on those that products name. It may still be starting: a warning. */
export function checkWorkload(
  { inbound }: SidecarConfig,
  products: ProductMap | undefined,
): Promise<Finding[]> {
  const named = [...(products?.products.values() ?? [])].flatMap(({ upstream }) => upstream ?? [])
  const addresses = [formatAddress(inbound.upstream), ...new Set(named)].slice(0, mostAddresses)
  return Promise.all(addresses.map((address) => checkAddress(parseAddress(address))))
}

async function checkAddress(address: Address): Promise<Finding> {
  const failure = await whyUnreachable(address)
  const name = formatAddress(address)
  if (failure === undefined) return ok(`the workload takes connections at ${name}`)
  const hint = 'requests are answered 503 until it listens there; is inbound.upstream right?'
  return warning(`the workload takes no connection at ${name}: ${failure}`, hint)
}

function whyUnreachable(address: Address): Promise<string | undefined> {
  const target =
    address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }
  return new Promise((resolve) => {
    const socket = connect({ ...target, timeout: patienceMs })
    const end = (failure?: string) => {
      socket.destroy()
      resolve(failure)
    }
    socket.once('connect', () => end())
    socket.once('timeout', () => end(`no answer in ${patienceMs / 1_000} s`))
    socket.once('error', ({ message }) => end(message))
  })
}
