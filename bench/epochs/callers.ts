/** The callers of bench/epochs.ts, in a process of their own: opens idle connections and keeps them. */
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'

/** Sent to it once. */
export interface CallersTask {
  readonly port: number
  readonly connections: number
  readonly identities: readonly {
    readonly certificatePem: string
    readonly privateKeyPem: string
  }[]
}

/** Sent back when all are open. */
export interface CallersReport {
  readonly opened: number
}

const openAtOnce = 64
const request = 'GET / HTTP/1.1\r\nHost: api.example\r\n\r\n'

/** Whoever is not referred to is collected, and its connection with it. */
const sockets: TLSSocket[] = []

process.once('message', (task: CallersTask) => {
  void openAll(task).then(() => {
    const report: CallersReport = { opened: sockets.length }
    process.send?.(report)
  })
})

async function openAll({ port, connections, identities }: CallersTask): Promise<void> {
  const contexts = identities.map(({ certificatePem, privateKeyPem }) =>
    createSecureContext({ cert: certificatePem, key: privateKeyPem }),
  )
  let next = 0
  const openSome = async () => {
    while (next < connections) {
      const context = contexts[next++ % contexts.length]
      if (context !== undefined) sockets.push(await openOne(port, context))
    }
  }
  await Promise.all(Array.from({ length: openAtOnce }, openSome))
}

/** Resolves when a request was answered. */
function openOne(port: number, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, secureContext, rejectUnauthorized: false })
    socket.on('error', reject)
    socket.once('secureConnect', () => socket.write(request))
    socket.once('data', (chunk: Buffer) => {
      const head = chunk.subarray(0, 12).toString('latin1')
      if (head === 'HTTP/1.1 200') resolve(socket)
      else reject(new Error(`answered ${head}`))
      socket.resume()
    })
  })
}
