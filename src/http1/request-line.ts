import { isAuthority } from './authority.ts'
import { isToken } from './field-name.ts'
import { Fault, type RefusalCode } from './refusal.ts'

/** The first line of a request, RFC 9112 3. */
export interface RequestLine {
  readonly method: string
  readonly target: string
  readonly minorVersion: 0 | 1
  readonly path: string
  /** Of an absolute-form target. */
  readonly origin: Origin | undefined
}

/** Scheme and authority of an absolute-form target. */
export interface Origin {
  readonly scheme: 'http' | 'https'
  readonly authority: string
}

type RequestFault = Fault<RefusalCode>

const versionShape = /^HTTP\/[0-9]\.[0-9]$/
/** A byte outside visible ASCII, or the `#` of a fragment, which is never sent. */
const notInTargets = /[^\x21\x22\x24-\x7e]/

const lineMalformed = new Fault('request_line_malformed', 'not: method SP target SP version')
const methodNoToken = new Fault('request_line_malformed', 'the method is no token')
const otherVersion = new Fault('version_unsupported', 'neither HTTP/1.1 nor HTTP/1.0')
const forbiddenMethod = new Fault('method_not_allowed', 'CONNECT and TRACE are not forwarded')
const targetCharacter = new Fault('target_malformed', 'a character that no target may hold')
const targetForm = new Fault('target_malformed', 'neither origin-form nor absolute-form')
const targetAuthority = new Fault('target_malformed', 'the authority in the target does not parse')

/** Reads the line of `text` from `start` to `end`. */
export function parseRequestLine(
  text: string,
  start: number,
  end: number,
): RequestLine | RequestFault {
  const targetStart = text.indexOf(' ', start) + 1
  if (targetStart === 0 || targetStart > end) return lineMalformed
  const versionStart = text.indexOf(' ', targetStart) + 1
  if (versionStart === 0 || versionStart > end) return lineMalformed
  const method = text.slice(start, targetStart - 1)
  if (!isToken(method)) return methodNoToken
  const minorVersion = parseVersion(text.slice(versionStart, end))
  if (minorVersion instanceof Fault) return minorVersion
  if (isForbidden(method)) return forbiddenMethod
  return parseTarget(method, text.slice(targetStart, versionStart - 1), minorVersion)
}

function parseVersion(version: string): 0 | 1 | RequestFault {
  if (version === 'HTTP/1.1') return 1
  if (version === 'HTTP/1.0') return 0
  return versionShape.test(version) ? otherVersion : lineMalformed
}

/** In any case: a workload that upper-cases methods must not see one of these either. */
function isForbidden(method: string): boolean {
  switch (method.length) {
    case 5:
      return method.toUpperCase() === 'TRACE'
    case 7:
      return method.toUpperCase() === 'CONNECT'
    default:
      return false
  }
}

function parseTarget(
  method: string,
  target: string,
  minorVersion: 0 | 1,
): RequestLine | RequestFault {
  if (notInTargets.test(target)) return targetCharacter
  if (target.startsWith('/')) {
    return { method, target, minorVersion, path: target, origin: undefined }
  }
  if (target === '*') {
    if (method !== 'OPTIONS') return targetForm
    return { method, target, minorVersion, path: target, origin: undefined }
  }
  return parseAbsoluteForm(method, target, minorVersion)
}

function parseAbsoluteForm(
  method: string,
  target: string,
  minorVersion: 0 | 1,
): RequestLine | RequestFault {
  const scheme = schemeOf(target)
  if (scheme === undefined) return targetForm
  const authorityStart = scheme.length + '://'.length
  const authorityEnd = endOfAuthority(target, authorityStart)
  const authority = target.slice(authorityStart, authorityEnd)
  if (!isAuthority(authority)) return targetAuthority
  const path = originForm(method, target.slice(authorityEnd))
  return { method, target, minorVersion, path, origin: { scheme, authority } }
}

function schemeOf(target: string): 'http' | 'https' | undefined {
  const start = target.slice(0, 'https://'.length).toLowerCase()
  if (start.startsWith('http://')) return 'http'
  return start === 'https://' ? 'https' : undefined
}

function endOfAuthority(target: string, start: number): number {
  for (let at = start; at < target.length; at++) {
    const character = target[at]
    if (character === '/' || character === '?') return at
  }
  return target.length
}

/** An absolute-form target without a path means the root, or with OPTIONS the server itself (RFC 9112 3.2.4). */
function originForm(method: string, rest: string): string {
  if (rest.startsWith('/')) return rest
  return rest === '' && method === 'OPTIONS' ? '*' : `/${rest}`
}
