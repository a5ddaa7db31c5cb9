import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net'
import {
  connect,
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureVersion,
  type Server,
  type TLSSocket,
} from 'node:tls'
import { PosternError } from '../core/errors.ts'
import { type AcceptedTls, acceptedTls, acceptTls } from './accept-tls.ts'
import { dialerTlsOptions, listenerTlsOptions } from './context.ts'
import { readPresentedChain } from './presented-chain.ts'
import { type ClientIdentity, throwAwayIdentities } from './throw-away-identities.ts'

/** What a handshake looked like from the server's side. */
interface Observation {
  readonly presented: number
  readonly resumed: boolean
}

/** For what takes milliseconds where it works. */
const patienceMs = 5_000

const advice = 'use Node.js 20.19+, 22.12+, 24 below or above 24.21.0, or 26.9+'

/** What is put to the test; replaced by tests that prove that a fault is found. */
export interface TestedRuntime {
  readonly listenerTlsOptions: typeof listenerTlsOptions
  readonly acceptTls: typeof acceptTls
  readonly readPresentedChain: typeof readPresentedChain
}

/**
 * Proves on this Node.js, with throw-away certificates over loopback, what the security of the listener rests on: a
 * presented intermediate is visible, "no certificate" is seen as such, no session resumes in TLS 1.2 or 1.3, and a connection
 * ends when its TLS is broken. Throws `PosternError` ERR_RUNTIME_UNSUPPORTED.
 *
 * Node.js 24.21.0 and 26.8 lose intermediates only of chains that OpenSSL itself could verify, which with our empty `ca` is
 * none; they leak memory on each mTLS connection, though, and are left out of `engines` for that.
 */
export async function selfTest(
  runtime: TestedRuntime = { listenerTlsOptions, acceptTls, readPresentedChain },
): Promise<void> {
  const { server, client } = throwAwayIdentities()
  const tls = acceptedTls(
    runtime.listenerTlsOptions(server, { protocols: [], handshakeTimeoutMs: patienceMs }),
  )
  const seen: Observation[] = []
  const listener = createTcpServer((raw) => {
    raw.setTimeout(patienceMs, () => raw.destroy())
    runtime.acceptTls(raw, tls, {
      onSecure: (socket) => observe(socket, seen, runtime),
      onFailed: () => raw.destroy(),
    })
  })
  await listen(listener)
  try {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      await checkVersion(listener, version, client, seen)
    }
    expect(await endsWhenBroken(tls, runtime), 'keeps a connection whose TLS is broken')
  } finally {
    listener.close()
  }
}

/** What is put to the test of dialling; replaced by tests that prove that a fault is found. */
export interface TestedDialer {
  readonly dialerTlsOptions: typeof dialerTlsOptions
  readonly readPresentedChain: typeof readPresentedChain
}

/**
 * The same for peers that we dial: what we present reaches them, an intermediate that they present is visible, and no session of
 * theirs resumes. Throws `PosternError` ERR_RUNTIME_UNSUPPORTED.
 */
export async function dialerSelfTest(
  runtime: TestedDialer = { dialerTlsOptions, readPresentedChain },
): Promise<void> {
  const { server: own, client: peer } = throwAwayIdentities()
  const seen: Observation[] = []
  // As others run it: with tickets.
  const listener = createServer({ ...peer, requestCert: true, rejectUnauthorized: false })
  listener.on('secureConnection', (socket) => observe(socket, seen, runtime))
  await listen(listener)
  try {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const options = { ...runtime.dialerTlsOptions(own), minVersion: version, maxVersion: version }
      const context = createSecureContext(options)
      for (let i = 0; i < 2; i++) checkDialed(await dial(listener, context, runtime), seen, version)
    }
  } finally {
    listener.close()
  }
}

function checkDialed(dialed: Observation, seen: Observation[], version: SecureVersion): void {
  expect(seen.pop()?.presented === 1, `does not present our certificate to a peer (${version})`)
  expect(dialed.presented === 2, `loses the intermediates of a peer that we dial (${version})`)
  expect(!dialed.resumed, `resumes sessions of a peer that we dial (${version})`)
}

/** One connection as we make it to peers, until the peer has ended it. */
function dial(
  listener: Server,
  secureContext: SecureContext,
  runtime: TestedDialer,
): Promise<Observation> {
  return new Promise((resolve, reject) => {
    const { port } = listener.address() as AddressInfo
    const options = { host: '127.0.0.1', port, secureContext, rejectUnauthorized: false }
    const seen: Observation[] = []
    const socket = connect(options, () => observe(socket, seen, runtime))
    socket.on('error', reject)
    socket.on('close', () => resolve(seen.pop() ?? { presented: -1, resumed: false }))
    socket.resume()
  })
}

async function checkVersion(
  listener: TcpServer,
  version: SecureVersion,
  client: ClientIdentity,
  seen: Observation[],
): Promise<void> {
  const session = await handshake(listener, { version, client })
  expect(seen.pop()?.presented === 2, `loses the intermediates of a peer's chain (${version})`)
  await handshake(listener, { version })
  expect(
    seen.pop()?.presented === 0,
    `does not tell "no certificate" from a certificate (${version})`,
  )
  await handshake(listener, { version, client, session })
  expect(seen.pop()?.resumed === false, `resumes sessions although tickets are off (${version})`)
}

/** A record of application data that nobody has encrypted. */
const brokenRecord = Buffer.concat([Buffer.from('1703030020', 'hex'), Buffer.alloc(32)])

/** Whether the server's end is gone as soon as the client hears of what it sent. */
function endsWhenBroken(
  tls: AcceptedTls,
  runtime: Pick<TestedRuntime, 'acceptTls'>,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let accepted: TLSSocket | undefined
    const listener = createTcpServer((raw) => {
      listener.close()
      raw.setTimeout(patienceMs, () => raw.destroy())
      runtime.acceptTls(raw, tls, {
        onSecure: (socket) => {
          accepted = socket.resume()
          socket.write('.')
        },
        onFailed: () => raw.destroy(),
      })
    })
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', () => {
      const tcp = connectTcp((listener.address() as AddressInfo).port, '127.0.0.1')
      const client = connect({ socket: tcp, rejectUnauthorized: false })
      client.once('data', () => tcp.write(brokenRecord))
      client.on('error', () => client.destroy())
      client.on('close', () => resolve(accepted?.destroyed === true))
    })
  })
}

function observe(
  socket: TLSSocket,
  seen: Observation[],
  runtime: Pick<TestedRuntime, 'readPresentedChain'>,
): void {
  socket.on('error', () => socket.destroy())
  seen.push({
    presented: runtime.readPresentedChain(socket)?.certificates.length ?? -1,
    resumed: socket.isSessionReused(),
  })
  socket.end('.')
}

/** One connection, until the server has ended it. Resolves with the last session that the client was given. */
function handshake(
  listener: TcpServer,
  options: { version: SecureVersion; client?: ClientIdentity; session?: Buffer | undefined },
): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined
    const socket = connect({
      host: '127.0.0.1',
      port: (listener.address() as AddressInfo).port,
      rejectUnauthorized: false,
      minVersion: options.version,
      maxVersion: options.version,
      ...options.client,
      ...(options.session === undefined ? {} : { session: options.session }),
    })
    socket.on('session', (given: Buffer) => (session = given))
    socket.on('error', reject)
    socket.on('close', () => resolve(session ?? socket.getSession()))
    socket.resume()
  })
}

function listen(listener: TcpServer): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(0, '127.0.0.1', resolve)
  })
}

function expect(holds: boolean, fault: string): void {
  if (!holds) {
    throw new PosternError('ERR_RUNTIME_UNSUPPORTED', `this Node.js ${fault}; ${advice}`)
  }
}
