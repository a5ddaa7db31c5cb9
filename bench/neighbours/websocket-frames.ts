import { createHash } from 'node:crypto'

/** Frames of one size, so that whoever counts bytes has counted messages (RFC 6455 5.2). */
export const messageBytes = 64

const binary = 0x82
const masked = 0x80
const maskBytes = 4

export const clientFrameBytes = 2 + maskBytes + messageBytes
export const serverFrameBytes = 2 + messageBytes

/** Masked with zeros, which leaves the payload as it is. */
export function clientFrame(): Buffer {
  const frame = Buffer.alloc(clientFrameBytes)
  frame[0] = binary
  frame[1] = masked | messageBytes
  return frame
}

export function serverFrame(bytes: number): Buffer {
  const frame = Buffer.alloc(2 + bytes)
  frame[0] = binary
  frame[1] = bytes
  return frame
}

const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The reply to the head of an upgrade. */
export function acceptedUpgrade(head: string): string {
  const key = /^sec-websocket-key:\s*(\S+)/im.exec(head)?.[1] ?? ''
  const accept = createHash('sha1')
    .update(key + magic)
    .digest('base64')
  return (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n\r\n`
  )
}
