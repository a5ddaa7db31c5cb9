import { messageOf } from '../core/errors.ts'
import type { Certificate } from '../x509/certificate.ts'
import { keyUsageBit } from '../x509/extensions.ts'
import { SpiffeId } from './spiffe-id.ts'

/** What a leaf says about itself; nothing of it is proven. */
export type SvidLeaf =
  | { readonly kind: 'svid'; readonly id: SpiffeId }
  | { readonly kind: 'malformed'; readonly detail: string }

const authorityUsage = keyUsageBit.keyCertSign | keyUsageBit.cRLSign

/**
 * Reads a leaf by the rules of X509-SVID 2, 4 and 5.2: exactly one URI name, a SPIFFE ID with a path, no CA, and a
 * key usage with `digitalSignature` and without `keyCertSign` and `cRLSign`.
 */
export function readSvidLeaf(leaf: Certificate): SvidLeaf {
  const [uri, ...more] = leaf.uriNames
  if (uri === undefined) return malformed('there is no URI name')
  if (more.length > 0) return malformed(`there are ${more.length + 1} URI names instead of one`)
  const fault = usageFault(leaf)
  return fault === undefined ? readId(uri) : malformed(fault)
}

function usageFault(leaf: Certificate): string | undefined {
  if (leaf.isCa) return 'it is a CA certificate'
  const usage = leaf.extensions.keyUsage
  if (usage === undefined) return 'there is no key usage'
  if ((usage & keyUsageBit.digitalSignature) === 0) return 'key usage lacks digitalSignature'
  return (usage & authorityUsage) === 0 ? undefined : 'key usage holds keyCertSign or cRLSign'
}

function readId(uri: string): SvidLeaf {
  try {
    const id = SpiffeId.parse(uri)
    return id.path === '' ? malformed('the SPIFFE ID has no path') : { kind: 'svid', id }
  } catch (cause) {
    return malformed(messageOf(cause))
  }
}

function malformed(detail: string): SvidLeaf {
  return { kind: 'malformed', detail }
}
