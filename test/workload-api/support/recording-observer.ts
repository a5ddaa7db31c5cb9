import type { PosternError } from '../../../src/core/errors.ts'
import type { IdentitySnapshot, X509SourceObserver } from '../../../src/workload-api/x509-source.ts'

/** Writes down what it hears, one word or code each: `identity 1`, `rejected ERR_...`, `connected`. */
export class RecordingObserver implements X509SourceObserver {
  readonly events: string[] = []

  /** How often an event was heard. */
  count(event: string): number {
    return this.events.filter((heard) => heard === event).length
  }

  onIdentity(snapshot: IdentitySnapshot): void {
    this.events.push(`identity ${snapshot.sequence}`)
  }

  onUnchanged(): void {
    this.events.push('unchanged')
  }

  onWithdrawn(error: PosternError): void {
    this.events.push(`withdrawn ${error.code}`)
  }

  onRejected(error: PosternError): void {
    this.events.push(`rejected ${error.code}`)
  }

  onConnected(isConnected: boolean): void {
    this.events.push(isConnected ? 'connected' : 'disconnected')
  }

  onEnded(error: PosternError): void {
    this.events.push(`ended ${error.code}`)
  }
}
