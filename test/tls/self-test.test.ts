import assert from 'node:assert/strict'
import { acceptTls } from '../../src/tls/accept-tls.ts'
import { dialerTlsOptions, listenerTlsOptions } from '../../src/tls/context.ts'
import { readPresentedChain } from '../../src/tls/presented-chain.ts'
import {
  dialerSelfTest,
  selfTest,
  type TestedDialer,
  type TestedRuntime,
} from '../../src/tls/self-test.ts'

const good: TestedRuntime = { listenerTlsOptions, acceptTls, readPresentedChain }

describe('selfTest', () => {
  it('passes on this Node.js', async () => {
    await selfTest()
  })

  const faults: { name: string; runtime: TestedRuntime; expected: RegExp }[] = [
    {
      name: 'loses the intermediates',
      runtime: {
        ...good,
        readPresentedChain: (socket) => {
          const chain = readPresentedChain(socket)
          return chain && { ...chain, certificates: chain.certificates.slice(0, 1) }
        },
      },
      expected: /loses the intermediates .* use Node\.js/,
    },
    {
      name: 'takes no certificate for one',
      runtime: {
        ...good,
        readPresentedChain: (socket) => {
          const chain = readPresentedChain(socket)
          return chain?.certificates.length === 0 ? undefined : chain
        },
      },
      expected: /does not tell "no certificate"/,
    },
    {
      name: 'resumes sessions',
      runtime: {
        ...good,
        listenerTlsOptions: (...given) => ({ ...listenerTlsOptions(...given), secureOptions: 0 }),
      },
      expected: /resumes sessions/,
    },
    {
      name: 'tells nobody that TLS is broken',
      runtime: {
        ...good,
        acceptTls: (raw, tls, { onSecure, onFailed }) =>
          acceptTls(raw, tls, {
            onSecure: (socket) => onSecure(socket.removeAllListeners('_tlsError')),
            onFailed,
          }),
      },
      expected: /keeps a connection whose TLS is broken/,
    },
  ]
  for (const { name, runtime, expected } of faults) {
    it(`refuses a runtime that ${name}`, async () => {
      await assert.rejects(selfTest(runtime), {
        code: 'ERR_RUNTIME_UNSUPPORTED',
        message: expected,
      })
    })
  }
})

describe('dialerSelfTest', () => {
  const good: TestedDialer = { dialerTlsOptions, readPresentedChain }

  it('passes on this Node.js', async () => {
    await dialerSelfTest()
  })

  const faults: { name: string; runtime: TestedDialer; expected: RegExp }[] = [
    {
      name: 'loses the intermediates of a peer',
      runtime: {
        ...good,
        readPresentedChain: (socket) => {
          const chain = readPresentedChain(socket)
          return chain && { ...chain, certificates: chain.certificates.slice(0, 1) }
        },
      },
      expected: /loses the intermediates of a peer that we dial .* use Node\.js/,
    },
    {
      name: 'does not present our certificate',
      runtime: {
        ...good,
        dialerTlsOptions: (identity) => {
          const options = dialerTlsOptions(identity)
          delete options.cert
          delete options.key
          return options
        },
      },
      expected: /does not present our certificate/,
    },
  ]
  for (const { name, runtime, expected } of faults) {
    it(`refuses a runtime that ${name}`, async () => {
      await assert.rejects(dialerSelfTest(runtime), {
        code: 'ERR_RUNTIME_UNSUPPORTED',
        message: expected,
      })
    })
  }
})
