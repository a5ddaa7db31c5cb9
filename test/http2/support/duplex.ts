import type { Bench } from './recorder.ts'

/** Carries bytes between two connections until both are silent. Returns how many bytes went each way. */
export function pump(client: Bench, server: Bench): { toServer: number; toClient: number } {
  const carried = { toServer: 0, toClient: 0 }
  while (client.connection.hasOutput || server.connection.hasOutput) {
    for (const part of client.connection.takeOutput()) {
      carried.toServer += part.length
      server.receive(part)
    }
    for (const part of server.connection.takeOutput()) {
      carried.toClient += part.length
      client.receive(part)
    }
  }
  return carried
}
