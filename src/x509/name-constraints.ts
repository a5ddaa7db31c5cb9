import type { Certificate } from './certificate.ts'
import type { NameConstraints } from './extensions.ts'
import type { GeneralName } from './general-name.ts'

/**
 * Why a certificate below a CA with these constraints breaks them, RFC 5280 4.2.1.10 and 6.1.3 (b), (c); undefined
 * when it keeps them. A constrained form that cannot be judged (a URI without a host name, an otherName) counts as
 * broken.
 */
export function nameConstraintViolation(
  constraints: NameConstraints,
  certificate: Certificate,
): string | undefined {
  for (const name of constrainedNames(certificate)) {
    const violation = violationOf(constraints, name)
    if (violation !== undefined) return violation
  }
  return undefined
}

function constrainedNames(certificate: Certificate): GeneralName[] {
  const names = [...certificate.names]
  const subject = certificate.subjectName
  if (!subject.isEmpty) names.push({ kind: 'directory', name: subject })
  if (!names.some((name) => name.kind === 'email'))
    names.push(...subject.emailAddresses.map((value) => ({ kind: 'email', value }) as const))
  return names
}

function violationOf(constraints: NameConstraints, name: GeneralName): string | undefined {
  const permitted = constraints.permitted.filter((base) => isSameForm(base, name))
  const excluded = constraints.excluded.filter((base) => isSameForm(base, name))
  if (permitted.length === 0 && excluded.length === 0) return undefined
  if (!isJudgeable(name)) return `a constrained name of form ${name.kind} cannot be judged`
  if (permitted.length > 0 && !permitted.some((base) => isWithin(base, name)))
    return `a name of form ${name.kind} is not permitted`
  if (excluded.some((base) => isWithin(base, name)))
    return `a name of form ${name.kind} is excluded`
  return undefined
}

function isSameForm(base: GeneralName, name: GeneralName): boolean {
  if (base.kind === 'other' && name.kind === 'other') return base.tag === name.tag
  return base.kind === name.kind
}

function isJudgeable(name: GeneralName): boolean {
  switch (name.kind) {
    case 'uri':
      return uriHost(name.value) !== undefined
    case 'email':
      return name.value.includes('@')
    case 'other':
      return false
    case 'dns':
    case 'ip':
    case 'directory':
      return true
  }
}

function isWithin(base: GeneralName, name: GeneralName): boolean {
  switch (name.kind) {
    case 'uri':
      return base.kind === 'uri' && isHostWithin(base.value, uriHost(name.value) ?? '')
    case 'dns':
      return base.kind === 'dns' && isDnsWithin(base.value, name.value)
    case 'email':
      return base.kind === 'email' && isMailboxWithin(base.value, name.value)
    case 'ip':
      return base.kind === 'ip' && isAddressWithin(base.octets, name.octets)
    case 'directory':
      return base.kind === 'directory' && name.name.isWithin(base.name)
    case 'other':
      return false
  }
}

/** `host.example` means that host; `.host.example` any host below it; '' every host, as NSS and Go read it. */
function isHostWithin(base: string, host: string): boolean {
  if (base === '') return true
  const [lowerBase, lowerHost] = [hostForm(base), hostForm(host)]
  return lowerBase.startsWith('.') ? lowerHost.endsWith(lowerBase) : lowerHost === lowerBase
}

/** `host.example` means that name and every name below it. A leading dot leaves the name itself out. */
function isDnsWithin(base: string, name: string): boolean {
  const [lowerBase, lowerName] = [hostForm(base), hostForm(name)]
  if (lowerBase === '' || lowerName === lowerBase) return true
  return lowerName.endsWith(lowerBase.startsWith('.') ? lowerBase : `.${lowerBase}`)
}

/** `a@host.example` means that mailbox; else as for hosts. Only the host part ignores letter case. */
function isMailboxWithin(base: string, mailbox: string): boolean {
  const [local, host] = splitMailbox(mailbox)
  if (!base.includes('@')) return isHostWithin(base, host)
  const [baseLocal, baseHost] = splitMailbox(base)
  return local === baseLocal && hostForm(host) === hostForm(baseHost)
}

function splitMailbox(mailbox: string): [string, string] {
  const at = mailbox.lastIndexOf('@')
  return [mailbox.slice(0, at), mailbox.slice(at + 1)]
}

/** `base` is an address and a mask of the same family. */
function isAddressWithin(base: Buffer, address: Buffer): boolean {
  if (base.length !== address.length * 2) return false
  return address.every((octet, i) => {
    const mask = base[address.length + i] ?? 0
    return (octet & mask) === ((base[i] ?? 0) & mask)
  })
}

/** Host names ignore letter case, and one dot at the end says nothing. */
function hostForm(host: string): string {
  const lower = host.toLowerCase()
  return lower.endsWith('.') && lower !== '.' ? lower.slice(0, -1) : lower
}

const authorityShape = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i
const hostNameShape = /^[a-z0-9._-]+$/i
const ipv4Shape = /^\d+(\.\d+){3}\.?$/

/** The host name of a URI; undefined when it has none or an address in its place, which RFC 5280 asks to refuse. */
function uriHost(uri: string): string | undefined {
  const authority = authorityShape.exec(uri)?.[1]
  if (authority === undefined) return undefined
  const host = authority.slice(authority.indexOf('@') + 1).replace(/:\d*$/, '')
  return hostNameShape.test(host) && !ipv4Shape.test(host) ? host : undefined
}
