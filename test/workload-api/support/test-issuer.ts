import { systemClock } from '../../../src/core/clock.ts'
import { DevCa } from '../../../src/dev/dev-ca.ts'
import { SpiffeId } from '../../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../../src/spiffe/trust-domain.ts'
import type { X509SVID, X509SVIDResponse } from '../../../src/workload-api/generated/workload.ts'

/** One trust domain's CA, giving what belongs into messages of the Workload API. */
export class TestIssuer {
  readonly trustDomain: string
  readonly #ca: DevCa

  private constructor(trustDomain: string, ca: DevCa) {
    this.trustDomain = trustDomain
    this.#ca = ca
  }

  static async create(name: string): Promise<TestIssuer> {
    const trustDomain = TrustDomain.parse(name)
    return new TestIssuer(name, await DevCa.create({ clock: systemClock, trustDomain }))
  }

  get bundle(): Buffer {
    return this.#ca.certificate
  }

  /** A good SVID for `/<name>`, to be spoilt with spread. */
  async svid(name = 'billing', hint = ''): Promise<X509SVID> {
    const spiffeId = `spiffe://${this.trustDomain}/${name}`
    const issued = await this.#ca.issue({ spiffeId: SpiffeId.parse(spiffeId) })
    return {
      spiffeId,
      x509Svid: Buffer.concat(issued.certificates),
      x509SvidKey: issued.privateKeyDer,
      bundle: this.bundle,
      hint,
    }
  }
}

/** A message with these SVIDs and federated bundles. */
export function response(
  svids: readonly X509SVID[],
  federatedBundles: Readonly<Record<string, Buffer>> = {},
  crl: readonly Buffer[] = [],
): X509SVIDResponse {
  return {
    svids: [...svids],
    crl: [...crl],
    federatedBundles: new Map(Object.entries(federatedBundles)),
  }
}
