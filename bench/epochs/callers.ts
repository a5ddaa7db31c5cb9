/** The callers of bench/epochs.ts, in a process of their own: opens idle connections and keeps them. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls'

/** Sent to it once. */
export interface CallersTask {
  readonly port: number
  readonly connections: number
  /** Used in turn; none: plaintext. */
  readonly identities: readonly {
    readonly certificatePem: string
    readonly privateKeyPem: string
  }[]
  /** Of the one request of each connection. */
  readonly headers: Readonly<Record<string, string>>
}

/** Sent back when all are open. */
export interface CallersReport {
  readonly opened: number
}

const openAtOnce = 64

/** Whoever is not referred to is collected, and its connection with it. */
const sockets: Socket[] = []

process.once('message', (task: CallersTask) => {
  openAll(task).then(
    () => {
      const report: CallersReport = { opened: sockets.length }
      process.send?.(report)
    },
    (error: unknown) => {
      console.error(`after ${sockets.length} connections:`, error)
      process.exit(1)
    },
  )
})

async function openAll({ port, connections, identities, headers }: CallersTask): Promise<void> {
  const contexts = identities.map(({ certificatePem, privateKeyPem }) =>
    createSecureContext({ cert: certificatePem, key: privateKeyPem }),
  )
  const fields = Object.entries({ host: 'api.example', ...headers })
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const request = `GET / HTTP/1.1\r\n${lines}\r\n`
  let next = 0
  const openSome = async () => {
    while (next < connections) {
      sockets.push(await openOne(port, contexts[next++ % contexts.length], request))
    }
  }
  await Promise.all(Array.from({ length: openAtOnce }, openSome))
}

/** Resolves when a request was answered. */
function openOne(
  port: number,
  secureContext: SecureContext | undefined,
  request: string,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port }
    const socket =
      secureContext === undefined
        ? connect(options)
        : connectTls({ ...options, secureContext, rejectUnauthorized: false })
    socket.on('error', reject)
    socket.once('close', () => reject(new Error('ended before it was answered')))
    socket.once(secureContext === undefined ? 'connect' : 'secureConnect', () =>
      socket.write(request),
    )
    socket.once('data', (chunk: Buffer) => {
      const head = chunk.subarray(0, 12).toString('latin1')
      if (head === 'HTTP/1.1 200') resolve(socket)
      else reject(new Error(`answered ${head}`))
      socket.resume()
    })
  })
}
