import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import type { ServerIdentity } from './context.ts'

export interface ClientIdentity {
  /** The leaf and an intermediate, PEM; the root is told to nobody. */
  readonly cert: string
  readonly key: string
}

/**
 * A server, and a client with a root, an intermediate and a leaf, for one handshake of a process with itself. The server has
 * nothing in common with the client: what it sees of the client's chain can only have been presented.
 */
export function throwAwayIdentities(): { server: ServerIdentity; client: ClientIdentity } {
  const [root, intermediate, leaf, server] = [
    party('root'),
    party('intermediate'),
    party('leaf'),
    party('server'),
  ]
  const chain = [issue(leaf, intermediate, false), issue(intermediate, root, true)]
  return {
    server: { certificateChainPem: issue(server, server, false), privateKeyPem: keyPem(server) },
    client: { cert: chain.join(''), key: keyPem(leaf) },
  }
}

interface Party {
  readonly name: string
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

function party(name: string): Party {
  return { name, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) }
}

function keyPem({ privateKey }: Party): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

// RFC 5280 4.1, no more of it than a handshake needs. The library for certificates takes a third of a start to load.

const ecdsaWithSha256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'))
const commonName = Buffer.from('0603550403', 'hex')
const basicConstraints = Buffer.from('0603551d13', 'hex')
const version3 = Buffer.from('a003020102', 'hex')
const yes = Buffer.from('0101ff', 'hex')
/** Nobody looks at it. */
const validity = sequence(
  der(0x17, Buffer.from('000101000000Z')),
  der(0x17, Buffer.from('491231235959Z')),
)

function issue(subject: Party, issuer: Party, isCa: boolean): string {
  const constraints = der(0x04, isCa ? sequence(yes) : sequence())
  const toBeSigned = sequence(
    version3,
    // Neither negative nor with a leading zero.
    der(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(15)])),
    ecdsaWithSha256,
    name(issuer),
    validity,
    name(subject),
    subject.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(sequence(basicConstraints, yes, constraints))),
  )
  const signature = sign('sha256', toBeSigned, issuer.privateKey)
  const certificate = sequence(
    toBeSigned,
    ecdsaWithSha256,
    der(0x03, Buffer.concat([Buffer.from([0]), signature])),
  )
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function name(one: Party): Buffer {
  return sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(one.name)))))
}

function sequence(...members: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(members))
}

/** X.690 8.1; lengths below 64 KiB. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content
  const long = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...(length < 0x80 ? [length] : long)]), content])
}
