import type { KeyObject } from 'node:crypto'
import {
  type Attributes,
  type CertificateSpec,
  type KeyType,
  keyIdOf,
  type NameSpec,
  testKey,
  writeCertificate,
} from '../support/certificate-writer.ts'

/** A chain as a peer would send it, and whom the verifier trusts. `tags` name what was done to it. */
export interface Scenario {
  readonly tags: ReadonlySet<string>
  readonly leaf: Buffer
  /** In no useful order. */
  readonly sent: readonly Buffer[]
  readonly anchors: readonly Buffer[]
}

type Random = () => number
type Draft = { -readonly [Key in keyof CertificateSpec]: CertificateSpec[Key] }

interface Entity {
  readonly subject: Attributes
  readonly key: KeyObject
}

interface Node {
  readonly draft: Draft
  readonly role: 'anchor' | 'sent' | 'leaf'
}

const hourMs = 3_600_000
const nowMs = Date.UTC(2026, 5, 1)
export const generatorNowMs = nowMs

/** The same scenarios for the same seed, apart from keys and signatures. */
export function generateScenarios(count: number, seed: number): Scenario[] {
  const keys = new KeyPool()
  return Array.from({ length: count }, (_, i) => generateScenario(keys, randomFrom(seed + i)))
}

function generateScenario(keys: KeyPool, random: Random): Scenario {
  const shape = pick(random, shapes)
  const nodes = shape.make(new Maker(keys, random))
  const tags = new Set([shape.name])
  const knobCount = pick(random, [0, 1, 1, 1, 2, 2])
  for (let i = 0; i < knobCount; i++) turnKnob(nodes, keys, random, tags)
  const write = (role: Node['role']) =>
    nodes.filter((node) => node.role === role).map((node) => writeCertificate(node.draft))
  const [leaf = Buffer.alloc(0)] = write('leaf')
  const sent = shuffled(random, write('sent'))
  return mutated(random, { tags, leaf, sent, anchors: shuffled(random, write('anchor')) })
}

function turnKnob(nodes: readonly Node[], keys: KeyPool, random: Random, tags: Set<string>): void {
  const knob = pick(random, knobs)
  const targets = nodes.filter(
    (node) => knob.on === 'any' || (node.role === 'leaf') === (knob.on === 'leaf'),
  )
  const target = pick(random, targets)
  knob.turn(target.draft, random, keys)
  tags.add(`${knob.name} (${target.role})`)
}

/** One byte in twenty scenarios is changed somewhere in what was sent. */
function mutated(random: Random, scenario: Scenario): Scenario {
  if (random() > 0.05) return scenario
  const leaf = Buffer.from(scenario.leaf)
  const offset = Math.floor(random() * leaf.length)
  leaf[offset] = (leaf[offset] ?? 0) ^ (1 << Math.floor(random() * 8))
  return { ...scenario, leaf, tags: new Set([...scenario.tags, 'one bit changed']) }
}

class KeyPool {
  readonly #pools = new Map<KeyType, KeyObject[]>()

  take(type: KeyType, random: Random): KeyObject {
    const pool = this.#pools.get(type) ?? this.#fill(type)
    return pick(random, pool)
  }

  #fill(type: KeyType): KeyObject[] {
    const size = type.startsWith('rsa') ? 2 : 12
    const pool = Array.from({ length: size }, () => testKey(type))
    this.#pools.set(type, pool)
    return pool
  }
}

const commonKeys: readonly KeyType[] = [
  'p256',
  'p256',
  'p256',
  'p256',
  'p384',
  'rsa2048',
  'ed25519',
]

/** Makes good certificates; knobs spoil them afterwards. */
class Maker {
  readonly random: Random
  readonly #keys: KeyPool
  readonly #taken = new Set<KeyObject>()
  #count = 0

  constructor(keys: KeyPool, random: Random) {
    this.#keys = keys
    this.random = random
  }

  /** With a key that nobody else in this scenario has. */
  entity(name = `CA ${++this.#count}`): Entity {
    for (;;) {
      const key = this.#keys.take(pick(this.random, commonKeys), this.random)
      if (this.#taken.has(key)) continue
      this.#taken.add(key)
      return {
        subject: [
          ['C', 'US'],
          ['O', 'Generated'],
          ['CN', name],
        ],
        key,
      }
    }
  }

  ca(entity: Entity, issuer: Entity, role: 'anchor' | 'sent', more: Partial<Draft> = {}): Node {
    const draft: Draft = {
      ...this.#common(entity, issuer, 24),
      basicConstraints: { isCa: true },
      keyUsage: ['keyCertSign', 'cRLSign'],
      ...more,
    }
    return { draft, role }
  }

  root(entity = this.entity('root'), more: Partial<Draft> = {}): { entity: Entity; node: Node } {
    return { entity, node: this.ca(entity, entity, 'anchor', more) }
  }

  leaf(issuer: Entity): Node {
    const draft: Draft = {
      ...this.#common(this.entity('leaf'), issuer, 2),
      basicConstraints: { isCa: false },
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: ['clientAuth', 'serverAuth'],
      names: [{ uri: 'spiffe://gen.test/leaf' }, { dns: 'leaf.gen.test' }],
    }
    return { draft, role: 'leaf' }
  }

  /** `count` intermediates below `issuer`, and the last of them. */
  intermediates(issuer: Entity, count: number): { last: Entity; nodes: Node[] } {
    const nodes: Node[] = []
    let last = issuer
    for (let i = 0; i < count; i++) {
      const next = this.entity()
      nodes.push(this.ca(next, last, 'sent'))
      last = next
    }
    return { last, nodes }
  }

  #common(entity: Entity, issuer: Entity, hours: number) {
    return {
      subject: entity.subject,
      issuer: issuer.subject,
      key: entity.key,
      signer: issuer.key,
      notBeforeMs: nowMs - hours * hourMs,
      notAfterMs: nowMs + hours * hourMs,
    }
  }
}

interface Shape {
  readonly name: string
  readonly make: (maker: Maker) => Node[]
}

const expired = { notBeforeMs: nowMs - 48 * hourMs, notAfterMs: nowMs - hourMs }

const shapes: readonly Shape[] = [
  { name: 'straight', make: (maker) => straight(maker, pick(maker.random, [0, 1, 1, 2, 3, 4])) },
  { name: 'straight', make: (maker) => straight(maker, pick(maker.random, [1, 2, 3])) },
  { name: 'seven certificates', make: (maker) => straight(maker, 5) },
  { name: 'anchor in the middle', make: anchorInTheMiddle },
  { name: 'stranger', make: stranger },
  { name: 'roots of one name', make: rootsOfOneName },
  { name: 'cross-signed', make: crossSigned },
  { name: 'two branches', make: twoBranches },
  { name: 'rotation with one key', make: rotationWithOneKey },
  { name: 'self-issued key change', make: selfIssuedKeyChange },
]

function straight(maker: Maker, count: number): Node[] {
  const root = maker.root()
  const { last, nodes } = maker.intermediates(root.entity, count)
  const decoy = maker.entity('decoy')
  return [root.node, ...nodes, maker.leaf(last), maker.ca(decoy, decoy, 'sent')]
}

function anchorInTheMiddle(maker: Maker): Node[] {
  const root = maker.entity('root')
  const middle = maker.entity('middle')
  const { last, nodes } = maker.intermediates(middle, pick(maker.random, [0, 1]))
  return [maker.ca(middle, root, 'anchor'), ...nodes, maker.leaf(last)]
}

/** Everything is sent, the root as well, but somebody else is trusted. */
function stranger(maker: Maker): Node[] {
  const root = maker.entity('root')
  const { last, nodes } = maker.intermediates(root, 1)
  return [maker.root().node, maker.ca(root, root, 'sent'), ...nodes, maker.leaf(last)]
}

function rootsOfOneName(maker: Maker): Node[] {
  const keyIds = maker.random() < 0.5 ? {} : { subjectKeyId: null, authorityKeyId: null }
  const roots = [1, 2, 3].map(() => maker.root(maker.entity('root'), keyIds))
  const issuer = pick(maker.random, roots).entity
  const { last, nodes } = maker.intermediates(issuer, pick(maker.random, [0, 1]))
  return [...roots.map((root) => root.node), ...nodes, maker.leaf(last)]
}

/**
 * A new root, known to those who trust the old one by a cross-certificate; perhaps one in the other direction as
 * well.
 */
function crossSigned(maker: Maker): Node[] {
  const [older, newer] = [maker.entity('old root'), maker.entity('new root')]
  const { last, nodes } = maker.intermediates(newer, 1)
  const oldRoot = maker.ca(older, older, 'anchor', maker.random() < 0.2 ? expired : {})
  const trusted = maker.random() < 0.4 ? [maker.ca(newer, newer, 'anchor')] : []
  const back = maker.random() < 0.5 ? [maker.ca(older, newer, 'sent')] : []
  return [oldRoot, ...trusted, maker.ca(newer, older, 'sent'), ...back, ...nodes, maker.leaf(last)]
}

/** One CA with two certificates, one of them useless. */
function twoBranches(maker: Maker): Node[] {
  const root = maker.root()
  const ca = maker.entity()
  const useless = pick(maker.random, uselessBranches)(maker)
  const spoilt = maker.ca(ca, useless.issuer ?? root.entity, 'sent', useless.more)
  return [root.node, maker.ca(ca, root.entity, 'sent'), spoilt, maker.leaf(ca)]
}

type Useless = (maker: Maker) => { issuer?: Entity; more: Partial<Draft> }

const uselessBranches: readonly Useless[] = [
  () => ({ more: expired }),
  (maker) => ({ issuer: maker.entity('nobody'), more: {} }),
  (maker) => ({ issuer: maker.entity('root'), more: {} }),
  () => ({ more: { basicConstraints: { isCa: false } } }),
  () => ({ more: { nameConstraints: { permitted: [{ uri: 'other.test' }] } } }),
]

function rotationWithOneKey(maker: Maker): Node[] {
  const root = maker.root()
  const { last, nodes } = maker.intermediates(root.entity, 1)
  const old = maker.ca(root.entity, root.entity, 'anchor', expired)
  return [old, root.node, ...nodes, maker.leaf(last)]
}

function selfIssuedKeyChange(maker: Maker): Node[] {
  const root = maker.root(maker.entity('root'), { basicConstraints: { isCa: true, pathLength: 1 } })
  const before = maker.entity('changing')
  const after = maker.entity('changing')
  return [
    root.node,
    maker.ca(before, root.entity, 'sent', { basicConstraints: { isCa: true, pathLength: 0 } }),
    maker.ca(after, before, 'sent'),
    maker.leaf(after),
  ]
}

interface Knob {
  readonly name: string
  readonly on: 'leaf' | 'ca' | 'any'
  readonly turn: (draft: Draft, random: Random, keys: KeyPool) => void
}

const nameBases: readonly NameSpec[] = [
  { uri: 'gen.test' },
  { uri: '.gen.test' },
  { uri: 'other.test' },
  { dns: 'gen.test' },
  { dns: 'leaf.gen.test' },
  { dns: '.gen.test' },
  { dns: 'other.test' },
  { email: 'gen.test' },
  { email: '.gen.test' },
  { email: 'one@gen.test' },
  { ip: '0a000000ff000000' },
  { ip: `fd${'00'.repeat(15)}ff${'00'.repeat(15)}` },
  {
    directory: [
      ['C', 'US'],
      ['O', 'generated'],
    ],
  },
  {
    directory: [
      ['C', 'US'],
      ['O', 'Other'],
    ],
  },
]

const leafNames: readonly NameSpec[] = [
  { uri: 'spiffe://gen.test/a' },
  { uri: 'spiffe://sub.gen.test/a' },
  { uri: 'spiffe://other.test/a' },
  { uri: 'https://GEN.test:8443/a' },
  { dns: 'gen.test' },
  { dns: 'a.leaf.gen.test' },
  { dns: 'other.test' },
  { email: 'one@gen.test' },
  { email: 'Two@sub.gen.test' },
  { email: 'one@other.test' },
  { ip: '0a010203' },
  { ip: 'c0a80001' },
  { ip: `fd${'00'.repeat(14)}01` },
  {
    directory: [
      ['C', 'US'],
      ['O', 'GENERATED'],
      ['CN', 'x'],
    ],
  },
  {
    directory: [
      ['C', 'DE'],
      ['O', 'Other'],
    ],
  },
]

const unknownExtension = { oid: '1.3.6.1.4.1.99999.7', value: Buffer.from('0500', 'hex') }

const knobs: readonly Knob[] = [
  knob('expired', 'any', (draft) => Object.assign(draft, expired)),
  knob('not yet valid', 'any', (draft) => (draft.notBeforeMs = nowMs + hourMs)),
  knob(
    'signed by another key',
    'any',
    (draft, random, keys) => (draft.signer = keys.take('p256', random)),
  ),
  knob('no basic constraints', 'any', (draft) => (draft.basicConstraints = null)),
  knob('cA false', 'ca', (draft) => (draft.basicConstraints = { isCa: false })),
  knob('cA true', 'leaf', (draft) => (draft.basicConstraints = { isCa: true })),
  knob(
    'basic constraints not critical',
    'ca',
    (draft) => (draft.basicConstraints = { isCa: true, isCritical: false }),
  ),
  ...[0, 0, 1, 2].map((pathLength) =>
    knob('pathLen', 'ca', (draft) => (draft.basicConstraints = { isCa: true, pathLength })),
  ),
  knob('no key usage', 'any', (draft) => (draft.keyUsage = null)),
  knob('no keyCertSign', 'ca', (draft) => (draft.keyUsage = ['digitalSignature', 'cRLSign'])),
  knob('no digitalSignature', 'leaf', (draft) => (draft.keyUsage = ['keyEncipherment'])),
  knob('keyAgreement only', 'leaf', (draft) => (draft.keyUsage = ['keyAgreement'])),
  knob('keyCertSign', 'leaf', (draft) => (draft.keyUsage = ['digitalSignature', 'keyCertSign'])),
  ...(
    [['clientAuth'], ['serverAuth'], ['codeSigning'], ['any'], ['any', 'clientAuth']] as const
  ).map((usages) =>
    knob(
      `extended key usage ${usages.join('+')}`,
      'any',
      (draft) => (draft.extendedKeyUsage = usages),
    ),
  ),
  knob('no extended key usage', 'leaf', (draft) => (draft.extendedKeyUsage = null)),
  ...['permitted', 'excluded', 'permitted', 'excluded', 'permitted', 'excluded'].map((kind) =>
    knob(`${kind} names`, 'ca', (draft, random) => {
      draft.nameConstraints = { [kind]: [pick(random, nameBases), pick(random, nameBases)] }
    }),
  ),
  ...[1, 2, 3].map((count) =>
    knob('other names', 'leaf', (draft, random) => {
      draft.names = Array.from({ length: count }, () => pick(random, leafNames))
    }),
  ),
  knob('unknown extension', 'any', (draft) => (draft.extensions = [unknownExtension])),
  knob(
    'unknown critical extension',
    'any',
    (draft) => (draft.extensions = [{ ...unknownExtension, isCritical: true }]),
  ),
  knob(
    'extension twice',
    'any',
    (draft) => (draft.extensions = [unknownExtension, unknownExtension]),
  ),
  knob('no authority key id', 'any', (draft) => (draft.authorityKeyId = null)),
  knob('no subject key id', 'ca', (draft) => (draft.subjectKeyId = null)),
  knob('wrong authority key id', 'any', (draft) => (draft.authorityKeyId = keyIdOf(draft.key))),
  knob('issuer in other letters', 'any', (draft) => (draft.issuer = inOtherLetters(draft.issuer))),
  knob(
    'subject in other letters',
    'leaf',
    (draft) => (draft.subject = inOtherLetters(draft.subject)),
  ),
  knob('empty subject', 'leaf', (draft) => (draft.subject = '')),
  knob('version 1', 'leaf', (draft) => (draft.version = 1)),
  knob('RSA 1024', 'leaf', (draft, random, keys) => (draft.key = keys.take('rsa1024', random))),
  knob('P-521', 'leaf', (draft, random, keys) => (draft.key = keys.take('p521', random))),
  knob('secp256k1', 'leaf', (draft, random, keys) => (draft.key = keys.take('secp256k1', random))),
  knob('SHA-1', 'any', (draft) => {
    if (draft.signer.asymmetricKeyType !== 'ed25519') draft.signature = { hash: 'sha1' }
  }),
  knob('SHA-512', 'any', (draft) => {
    if (draft.signer.asymmetricKeyType !== 'ed25519') draft.signature = { hash: 'sha512' }
  }),
  knob('PSS', 'any', (draft) => {
    if (draft.signer.asymmetricKeyType === 'rsa') draft.signature = { hash: 'sha256', pss: true }
  }),
  knob(
    'inner algorithm differs',
    'any',
    (draft) => (draft.innerAlgorithm = Buffer.from('300506032b6571', 'hex')),
  ),
]

function knob(name: string, on: Knob['on'], turn: Knob['turn']): Knob {
  return { name, on, turn }
}

/** The same name by RFC 5280 7.1: letter case, white space and string type differ. */
function inOtherLetters(name: CertificateSpec['subject']): CertificateSpec['subject'] {
  if (typeof name === 'string' || name instanceof Uint8Array) return name
  return name.map(([attribute, value]) =>
    attribute === 'C'
      ? [attribute, value]
      : [attribute, ` ${value.toUpperCase().replaceAll(' ', '  ')} `, 'printable'],
  )
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[Math.floor(random() * items.length)]
  if (item === undefined) throw new TypeError('nothing to pick from')
  return item
}

function shuffled<Item>(random: Random, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((one, other) => one.at - other.at)
    .map(({ item }) => item)
}

/** mulberry32: a small generator that is the same everywhere. */
function randomFrom(seed: number): Random {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
