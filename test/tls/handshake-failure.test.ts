import assert from 'node:assert/strict'
import { handshakeFailureOf } from '../../src/tls/handshake-failure.ts'

describe('the reason of a failed handshake', () => {
  for (const [code, reason] of [
    ['ERR_SSL_NO_SHARED_CIPHER', 'no_shared_cipher'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'tlsv1_alert_unknown_ca'],
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'timeout'],
    ['ECONNRESET', 'disconnected'],
    ['EPIPE', 'disconnected'],
    ['ERR_SOMETHING_NEW', 'other'],
    [`ERR_SSL_${'A'.repeat(1_000)}`, 'other'],
    ['ERR_SSL_with spaces', 'other'],
    [undefined, 'other'],
  ] as const) {
    it(`is ${reason} for ${String(code).slice(0, 40)}`, () => {
      const error = Object.assign(new Error('0x7f00: a message that is never shown'), { code })
      assert.equal(handshakeFailureOf(error as NodeJS.ErrnoException), reason)
    })
  }
})
