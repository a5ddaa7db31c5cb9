/** A TLS record (RFC 5246 6.2.1). */
export function tlsRecord(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 3]), uint(2, content.length), content])
}

/** A handshake message with its head. */
export function handshakeMessage(type: number, ...body: readonly Buffer[]): Buffer {
  return Buffer.concat([uint(1, type), vector(3, ...body)])
}

export function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([uint(2, type), vector(2, content)])
}

/** Content with its length in front. */
export function vector(lengthBytes: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content)
  return Buffer.concat([uint(lengthBytes, body.length), body])
}

export function uint(bytes: number, value: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  buffer.writeUIntBE(value, 0, bytes)
  return buffer
}
