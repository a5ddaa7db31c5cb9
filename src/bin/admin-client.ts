import { formatAddress, parseAddress } from '../config/address.ts'
import type { SidecarConfig } from '../config/sidecar-config.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import { type HttpAnswer, httpGet } from './http-get.ts'
import { loadConfig } from './load-config.ts'
import type { Terminal } from './terminal.ts'

export interface AdminFlags {
  readonly config: string
  /** `host:port`; default: `admin.listen` of the configuration. */
  readonly admin?: string
}

const limits = { patienceMs: 5_000, largestAnswer: 64 * 1024 * 1024 }

/** Where the admin port of the sidecar is. Throws `PosternError`. */
export function adminAddress({ admin, config }: AdminFlags, terminal: Terminal): string {
  if (admin === undefined) return configuredAddress(loadConfig(config, terminal), config)
  const address = parseAddress(admin)
  if (address.kind === 'tcp') return formatAddress(address)
  throw new PosternError('ERR_ADDRESS_INVALID', `--admin ${admin}: expected host:port`)
}

function configuredAddress({ admin }: SidecarConfig, file: string): string {
  if (admin.listen !== 'none') return formatAddress(admin.listen)
  throw new PosternError('ERR_ADMIN_UNAVAILABLE', `${file}: ${noAdminPort}`)
}

/** Why a running sidecar cannot be asked. */
export const noAdminPort =
  'admin.listen is none: this sidecar has no admin port that could be asked, expected an address such as 127.0.0.1:9901'

/**
 * What `read` makes of the answer of a running sidecar's admin port. Throws `PosternError` ERR_ADMIN_UNAVAILABLE when it cannot be
 * asked, ERR_ADMIN_REFUSED with what it says instead of an answer, or when `read` cannot make anything of it: whoever answers
 * there is no sidecar of this version.
 */
export async function askAdmin<Result>(
  address: string,
  path: string,
  read: (answer: object) => Result,
): Promise<Result> {
  const { status, text } = await get(address, path)
  const answer = readJson(text)
  if (status === 200 && answer !== undefined) return reading(address, () => read(answer))
  const { detail } = (answer ?? {}) as { readonly detail?: unknown }
  const why = typeof detail === 'string' ? detail : noSidecar
  throw new PosternError('ERR_ADMIN_REFUSED', `${address} answers ${status}: ${why}`)
}

const noSidecar = 'it does not answer as a sidecar of this version does'

function reading<Result>(address: string, read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    throw new PosternError('ERR_ADMIN_REFUSED', `${address}: ${noSidecar}`, { cause })
  }
}

async function get(address: string, path: string): Promise<HttpAnswer> {
  try {
    return await httpGet(address, path, limits)
  } catch (cause) {
    throw new PosternError(
      'ERR_ADMIN_UNAVAILABLE',
      `the admin port at ${address} does not answer: ${messageOf(cause)}`,
      { cause },
    )
  }
}

function readJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
