import { z } from 'zod'
import type { AddressRules } from '../policy/address-rules.ts'
import { CidrSet } from '../policy/cidr-set.ts'
import { cidr } from './scalars.ts'

/** Enough for the ranges of a cloud. */
const mostRanges = 10_000

/** One or more ranges of addresses. */
export const cidrList = z.array(cidr).min(1).max(mostRanges)

/** `addresses`, of the listener and of products. */
export const addressRulesSchema = z.strictObject({
  allow: cidrList
    .optional()
    .describe('Ranges from which callers may come. Absent: from everywhere.'),
  deny: cidrList.optional().describe('Ranges from which they may not come, whatever allow says.'),
})

export function buildAddressRules(rules: z.output<typeof addressRulesSchema>): AddressRules {
  const { allow, deny } = rules
  return {
    ...(allow !== undefined && { allow: new CidrSet(allow) }),
    ...(deny !== undefined && { deny: new CidrSet(deny) }),
  }
}
