import type { Certificate } from './certificate.ts'
import type { Name } from './name.ts'

const made = new WeakMap<readonly Certificate[], AnchorSet>()

/** The CA certificates of one bundle, found by subject. Each is an anchor, whether it is self-signed or not. */
export class AnchorSet {
  readonly #bySubject = new Map<string, Certificate[]>()

  private constructor(anchors: readonly Certificate[]) {
    for (const anchor of anchors) {
      const sameName = this.#bySubject.get(anchor.subjectName.canonical)
      if (sameName === undefined) this.#bySubject.set(anchor.subjectName.canonical, [anchor])
      else sameName.push(anchor)
    }
  }

  /** The set of a list that nobody changes any more; made once for each list, and gone with it. */
  static of(anchors: readonly Certificate[]): AnchorSet {
    const existing = made.get(anchors)
    if (existing !== undefined) return existing
    const set = new AnchorSet(anchors)
    made.set(anchors, set)
    return set
  }

  /** Anchors whose subject is `name`. */
  named(name: Name): readonly Certificate[] {
    return this.#bySubject.get(name.canonical) ?? []
  }

  has(certificate: Certificate): boolean {
    return this.named(certificate.subjectName).some((anchor) => anchor.equals(certificate))
  }
}
