import {
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { RawConnection } from './raw-tls.ts'
import { extension, handshakeMessage, tlsRecord, uint, vector } from './tls-bytes.ts'
import {
  deriveSecret,
  expandLabel,
  extract,
  hashOf,
  hmac,
  recordAt,
  type TlsContent,
  Traffic,
} from './tls13-traffic.ts'

export const contentType = { alert: 21, handshake: 22, applicationData: 23 } as const
export const extensionType = { preSharedKey: 41, earlyData: 42 } as const
const messageType = {
  ...{ clientHello: 1, serverHello: 2, newSessionTicket: 4, encryptedExtensions: 8 },
  ...{ certificate: 11, finished: 20, keyUpdate: 24 },
} as const

/** Whose answer the other end owes (RFC 8446 4.6.3). */
export const requestForNewKeys = handshakeMessage(messageType.keyUpdate, uint(1, 1))

/** A ticket of the server, with the key that it stands for (RFC 8446 4.6.1). */
export interface SessionTicket {
  readonly ticket: Buffer
  readonly key: Buffer
  /** Types of the extensions; early_data says that early data would be taken. */
  readonly extensions: readonly number[]
}

/** A made-up ticket, which no server has issued. */
export function madeUpTicket(): SessionTicket {
  return { ticket: randomBytes(32), key: randomBytes(32), extensions: [] }
}

/**
 * A client of TLS 1.3 (RFC 8446) that does one step at a time, so that a test can do another one instead. It presents no
 * certificate and verifies nothing of the server but its Finished, by having its keys. One suite, one group: TLS_AES_128_GCM_SHA256
 * and X25519.
 */
export class RawTls13 {
  readonly connection: RawConnection
  /** Types of the extensions in the server's hello and in its encrypted extensions. */
  readonly serverExtensions: number[] = []
  readonly tickets: SessionTicket[] = []
  readonly #keyPair = generateKeyPairSync('x25519')
  #transcript: Buffer = Buffer.alloc(0)
  #at = 0
  #masterSecret: Buffer = Buffer.alloc(0)
  #resumptionSecret: Buffer = Buffer.alloc(0)
  #offered: SessionTicket | undefined
  #read: Traffic | undefined
  #write: Traffic | undefined

  private constructor(connection: RawConnection) {
    this.connection = connection
  }

  /** A TCP connection. Nothing is sent. */
  static async open(port: number): Promise<RawTls13> {
    return new RawTls13(await RawConnection.open(port))
  }

  /** Open, and the whole handshake done. */
  static async connect(port: number, ticket?: SessionTicket): Promise<RawTls13> {
    const client = await RawTls13.open(port)
    client.connection.write(client.hello(ticket))
    await client.serverFlight()
    client.finish()
    return client
  }

  /** The record of the client hello, to be sent whole or not. With a ticket it announces early data too. */
  hello(ticket?: SessionTicket): Buffer {
    const bytes = this.#helloMessage(ticket)
    this.#offered = ticket
    this.#transcript = bytes
    return tlsRecord(contentType.handshake, bytes)
  }

  /** Early data (RFC 8446 2.3), under the keys of the ticket that the hello offered. */
  earlyData(ticket: SessionTicket, content: Buffer): Buffer {
    const early = extract(zeros, ticket.key)
    const secret = expandLabel(early, 'c e traffic', hashOf(this.#transcript))
    return new Traffic(secret).seal(contentType.applicationData, content)
  }

  /** Reads up to the server's Finished. What is sent from then on is encrypted with the keys of the handshake. */
  async serverFlight(): Promise<void> {
    const hello = await this.#plainMessage()
    this.#transcript = Buffer.concat([this.#transcript, hello])
    const keyShare = this.#readServerHello(hello)
    const shared = diffieHellman({ privateKey: this.#keyPair.privateKey, publicKey: keyShare })
    const handshakeSecret = extract(deriveSecret(extract(zeros, this.#agreedKey), ''), shared)
    const traffic = (label: string) =>
      new Traffic(expandLabel(handshakeSecret, label, hashOf(this.#transcript)))
    this.#read = traffic('s hs traffic')
    this.#write = traffic('c hs traffic')
    this.#masterSecret = extract(deriveSecret(handshakeSecret, ''), zeros)
    await this.#encryptedFlight()
  }

  /** An empty certificate and the Finished, as two records; `application` keys from then on. */
  finish(): void {
    const context = hashOf(this.#transcript)
    const nextWrite = new Traffic(expandLabel(this.#masterSecret, 'c ap traffic', context))
    this.#read = new Traffic(expandLabel(this.#masterSecret, 's ap traffic', context))
    this.#sendMessage(handshakeMessage(messageType.certificate, vector(1), vector(3)))
    const verify = hmac(this.#writing.finishedKey, hashOf(this.#transcript))
    this.#sendMessage(handshakeMessage(messageType.finished, verify))
    this.#resumptionSecret = expandLabel(this.#masterSecret, 'res master', hashOf(this.#transcript))
    this.#write = nextWrite
  }

  /** A record with the keys of now. */
  seal(type: number, content: Buffer): Buffer {
    return this.#writing.seal(type, content)
  }

  send(type: number, content: Buffer): void {
    this.connection.write(this.seal(type, content))
  }

  /** A request to change keys (RFC 8446 4.6.3), whose answer the server owes; ours are changed. */
  keyUpdate(): Buffer {
    const record = this.seal(contentType.handshake, requestForNewKeys)
    this.#write = this.#writing.next()
    return record
  }

  /** The next record that is no key update and no ticket. Rejects when the connection has ended. */
  async receive(): Promise<TlsContent> {
    for (;;) {
      const record = await this.#record()
      const content = this.#reading.open(record)
      if (content.type !== contentType.handshake) return content
      this.#afterHandshake(content.content)
    }
  }

  /** What the application sent until it satisfies this. */
  async receivesText(isEnough: (text: string) => boolean): Promise<string> {
    let text = ''
    while (!isEnough(text)) {
      const { type, content } = await this.receive()
      if (type !== contentType.applicationData) throw new Error(`record of type ${type}`)
      text += content.toString('latin1')
    }
    return text
  }

  close(): void {
    this.connection.socket.destroy()
  }

  /** That of the ticket where the server took it; else there is none. */
  get #agreedKey(): Buffer {
    const isTaken = this.serverExtensions.includes(extensionType.preSharedKey)
    return (isTaken ? this.#offered?.key : undefined) ?? zeros
  }

  get #writing(): Traffic {
    if (this.#write === undefined) throw new TypeError('there are no keys yet')
    return this.#write
  }

  get #reading(): Traffic {
    if (this.#read === undefined) throw new TypeError('there are no keys yet')
    return this.#read
  }

  #helloMessage(ticket: SessionTicket | undefined): Buffer {
    const { x = '' } = this.#keyPair.publicKey.export({ format: 'jwk' })
    const extensions = [
      extension(43, vector(1, uint(2, 0x0304))),
      extension(10, vector(2, uint(2, 0x001d))),
      extension(13, vector(2, uint(2, 0x0403), uint(2, 0x0804))),
      extension(16, vector(2, vector(1, Buffer.from('http/1.1')))),
      extension(51, vector(2, uint(2, 0x001d), vector(2, Buffer.from(x, 'base64url')))),
      extension(45, vector(1, uint(1, 1))),
    ]
    const head = [uint(2, 0x0303), randomBytes(32), vector(1, randomBytes(32))]
    const body = [...head, vector(2, uint(2, 0x1301)), vector(1, uint(1, 0))]
    if (ticket === undefined) {
      return handshakeMessage(messageType.clientHello, ...body, vector(2, ...extensions))
    }
    extensions.push(extension(extensionType.earlyData, Buffer.alloc(0)))
    const identities = vector(2, vector(2, ticket.ticket), uint(4, 0))
    const withBinder = (binder: Buffer) => {
      const offered = Buffer.concat([identities, vector(2, vector(1, binder))])
      const all = vector(2, ...extensions, extension(extensionType.preSharedKey, offered))
      return handshakeMessage(messageType.clientHello, ...body, all)
    }
    const truncated = withBinder(zeros).subarray(0, -(2 + 1 + zeros.length))
    const binderKey = new Traffic(deriveSecret(extract(zeros, ticket.key), '', 'res binder'))
    return withBinder(hmac(binderKey.finishedKey, hashOf(truncated)))
  }

  #readServerHello(message: Buffer): KeyObject {
    const sessionIdLength = message.readUInt8(4 + 2 + 32)
    let keyShare: Buffer = Buffer.alloc(0)
    const extensions = message.subarray(4 + 2 + 32 + 1 + sessionIdLength + 2 + 1)
    for (const { type, content } of extensionsIn(extensions)) {
      this.serverExtensions.push(type)
      if (type === 51) keyShare = content.subarray(4)
    }
    return createPublicKey({
      key: { kty: 'OKP', crv: 'X25519', x: keyShare.toString('base64url') },
      format: 'jwk',
    })
  }

  async #encryptedFlight(): Promise<void> {
    let pending = Buffer.alloc(0)
    for (;;) {
      const { type, content } = this.#reading.open(await this.#record())
      if (type !== contentType.handshake)
        throw new Error(`record of type ${type}: ${content.toString('hex')}`)
      pending = Buffer.concat([pending, content])
      for (let whole = messageIn(pending); whole !== undefined; whole = messageIn(pending)) {
        pending = pending.subarray(whole.length)
        this.#transcript = Buffer.concat([this.#transcript, whole])
        if (whole[0] === messageType.encryptedExtensions) {
          for (const { type: found } of extensionsIn(whole.subarray(4)))
            this.serverExtensions.push(found)
        }
        if (whole[0] === messageType.finished) return
      }
    }
  }

  #afterHandshake(message: Buffer): void {
    if (message[0] === messageType.keyUpdate) this.#read = this.#reading.next()
    if (message[0] === messageType.newSessionTicket) this.#keepTicket(message.subarray(4))
  }

  #keepTicket(body: Buffer): void {
    const nonceLength = body.readUInt8(8)
    const nonce = body.subarray(9, 9 + nonceLength)
    const ticketLength = body.readUInt16BE(9 + nonceLength)
    const ticketAt = 11 + nonceLength
    this.tickets.push({
      ticket: body.subarray(ticketAt, ticketAt + ticketLength),
      key: expandLabel(this.#resumptionSecret, 'resumption', nonce),
      extensions: extensionsIn(body.subarray(ticketAt + ticketLength)).map(({ type }) => type),
    })
  }

  #sendMessage(message: Buffer): void {
    this.#transcript = Buffer.concat([this.#transcript, message])
    this.send(contentType.handshake, message)
  }

  async #plainMessage(): Promise<Buffer> {
    const record = await this.#record()
    if (record[0] !== contentType.handshake) throw new Error(`no hello: ${record.toString('hex')}`)
    return record.subarray(5)
  }

  /** The next record but those of change_cipher_spec, which say nothing. */
  async #record(): Promise<Buffer> {
    for (;;) {
      await this.connection.has((received) => recordAt(received, this.#at) !== undefined)
      const record = recordAt(this.connection.received, this.#at) ?? zeros
      this.#at += record.length
      if (record[0] !== 20) return record
    }
  }
}

const zeros = Buffer.alloc(32)

/** The whole handshake message that the bytes begin with, if it has come. */
function messageIn(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 4) return undefined
  const end = 4 + bytes.readUIntBE(1, 3)
  return bytes.length < end ? undefined : bytes.subarray(0, end)
}

function extensionsIn(vectorBytes: Buffer): readonly TlsContent[] {
  const found: TlsContent[] = []
  const end = 2 + vectorBytes.readUInt16BE(0)
  for (let at = 2; at < end;) {
    const length = vectorBytes.readUInt16BE(at + 2)
    const content = vectorBytes.subarray(at + 4, at + 4 + length)
    found.push({ type: vectorBytes.readUInt16BE(at), content })
    at += 4 + length
  }
  return found
}
