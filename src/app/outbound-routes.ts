import { formatAddress } from '../config/address.ts'
import type { OutboundConfig } from '../config/sidecar-config.ts'
import type { OutboundRoute } from '../outbound/context.ts'
import { parseExpectedPeer } from '../policy/peer-decision.ts'

/** What the entries of `outbound` ask for. */
export function outboundRoutes(entries: readonly OutboundConfig[]): readonly OutboundRoute[] {
  return entries.map((entry) => ({
    ...entry,
    expected: parseExpectedPeer(formatAddress(entry.upstream), entry.expect),
  }))
}
