import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { connect } from 'node:tls'
import type { CallerIdentity } from './caller.ts'

/** Gives a caller that cannot do it itself a TLS connection with a client certificate; its bytes pass as they are. */
export class TlsOpener {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(port: number, identity: CallerIdentity) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      const secure = connect({
        port,
        host: '127.0.0.1',
        ALPNProtocols: ['h2'],
        rejectUnauthorized: false,
        cert: identity.certificatePem,
        key: identity.privateKeyPem,
      })
      for (const end of [socket, secure]) this.#sockets.add(end)
      pipeline(socket, secure, socket, () => {
        for (const end of [socket, secure]) this.#sockets.delete(end)
      })
    })
  }

  static async start(port: number, identity: CallerIdentity): Promise<TlsOpener> {
    const opener = new TlsOpener(port, identity)
    opener.#server.listen(0, '127.0.0.1')
    await once(opener.#server, 'listening')
    return opener
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
