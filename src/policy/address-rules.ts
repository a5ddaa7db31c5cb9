import type { IpAddress } from '../core/ip-address.ts'
import type { CidrSet } from './cidr-set.ts'

/** From where callers may come; `deny` wins. */
export interface AddressRules {
  /** Absent: from everywhere. */
  readonly allow?: CidrSet
  readonly deny?: CidrSet
}

/** Why a caller may not come from there, in one sentence; undefined: it may. An address that is not known is refused. */
export function whyAddressRefused(
  { allow, deny }: AddressRules,
  address: IpAddress | undefined,
): string | undefined {
  if (address === undefined) return 'the address of the caller is not known'
  const denied = deny?.find(address)
  if (denied !== undefined) return `deny lists ${denied}, where ${address.toString()} is`
  if (allow === undefined || allow.find(address) !== undefined) return undefined
  return `allow lists no range where ${address.toString()} is`
}
