import type { Decision } from '../policy/decision.ts'

type Allow = Extract<Decision, { outcome: 'allow' }>

/** Where a request came from, as the workload is told. */
export interface Origin {
  readonly clientAddress: string
  readonly scheme: 'http' | 'https'
}

/**
 * The fields by which the workload learns who calls (DESIGN.md 8): name, value, name, value. Inbound copies were removed
 * before, in every spelling.
 */
export function identityFields(decision: Allow, origin: Origin): readonly string[] {
  const fields = [
    'x-postern-product',
    decision.product,
    'x-postern-principal',
    fieldSafe(decision.principal),
    'x-postern-credential',
    decision.credential,
  ]
  if (decision.consumer !== undefined) {
    fields.push('x-postern-consumer', fieldSafe(decision.consumer))
  }
  fields.push('x-forwarded-for', origin.clientAddress, 'x-forwarded-proto', origin.scheme)
  return fields
}

/** A certificate's subject may hold anything: what is not visible ASCII is percent-encoded, as UTF-8. */
function fieldSafe(text: string): string {
  if (/^[\x21-\x24\x26-\x7e](?:[\x20-\x24\x26-\x7e]*[\x21-\x24\x26-\x7e])?$/.test(text)) return text
  return Array.from(Buffer.from(text, 'utf8'), (byte) =>
    byte > 0x20 && byte < 0x7f && byte !== 0x25
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
  ).join('')
}
