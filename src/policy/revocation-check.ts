import type { Certificate } from '../x509/certificate.ts'
import type { RevocationCheck, RevocationVerdict } from '../x509/path-rules.ts'
import { revocationOf } from '../x509/revocation.ts'
import type { Authorities, Authority } from './authority.ts'

/** Asks the revocation lists of each authority whose CA certificates lie on the path. */
export class AuthorityRevocationCheck implements RevocationCheck {
  readonly #byAnchor = new Map<string, Revocable>()

  private constructor(authorities: readonly Revocable[]) {
    for (const authority of authorities)
      for (const anchor of authority.anchors) this.#byAnchor.set(anchor.sha256, authority)
  }

  /** Undefined when no authority names revocation lists: then nothing is to be asked. */
  static of(authorities: Authorities): AuthorityRevocationCheck | undefined {
    const revocable = [...authorities.values()].filter(isRevocable)
    return revocable.length === 0 ? undefined : new AuthorityRevocationCheck(revocable)
  }

  /** An entry revokes whatever else is not known; what must be known and is not refuses. */
  check(certificate: Certificate, above: readonly Certificate[], nowMs: number): RevocationVerdict {
    const over = this.#authoritiesOf(above)
    const concerned = new Set([...over, ...this.#authoritiesOf([certificate])])
    let unknown: string | undefined
    let untilMs = Infinity
    for (const authority of concerned) {
      const { anchors, revocation } = authority
      const signers = [...above, ...anchors]
      const status = revocationOf(certificate, signers, revocation.lists, nowMs)
      if (status.kind === 'revoked') return refused('certificate_revoked', status.detail)
      if (!revocation.required || !over.has(authority)) continue
      if (status.kind === 'good') untilMs = Math.min(untilMs, status.untilMs)
      else
        unknown ??= `may be revoked: ${status.detail}, and authority ${authority.alias} has crlRequired`
    }
    return unknown === undefined
      ? { kind: 'passed', untilMs }
      : refused('revocation_unknown', unknown)
  }

  #authoritiesOf(certificates: readonly Certificate[]): Set<Revocable> {
    return new Set(certificates.flatMap((one) => this.#byAnchor.get(one.sha256) ?? []))
  }
}

type Revocable = Authority & Required<Pick<Authority, 'revocation'>>

function isRevocable(authority: Authority): authority is Revocable {
  return authority.revocation !== undefined
}

function refused(
  reason: 'certificate_revoked' | 'revocation_unknown',
  what: string,
): RevocationVerdict {
  return { kind: 'refused', reason, what }
}
