import { parseAddress } from '../../config/address.ts'
import { duration } from '../../config/scalars.ts'
import { quantity } from './quantity.ts'

/** How one thing about an injected sidecar is said: as a flag of the command line, or as an annotation of the pod. */
export interface Setting<Value> {
  /** What stands behind the flag; undefined: the flag stands alone and means `true`. */
  readonly argument?: string
  readonly meaning: string
  /** `a port from 1 to 65535`. */
  readonly expected: string
  /** As it would be written. */
  readonly default?: string
  /** Undefined, or an error, for what is not expected. */
  readonly read: (text: string) => Value | undefined
}

const dnsName = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/
/** IANA_SVC_NAME, as Kubernetes checks it. */
const portName = /^(?=.{1,15}$)(?=.*[a-z])(?!.*--)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/

const port = (text: string) => {
  const number = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0
  return number >= 1 && number <= 65_535 ? number : undefined
}
const shaped = (shape: RegExp) => (text: string) => (shape.test(text) ? text : undefined)
const oneOf =
  <const Word extends string>(...words: readonly Word[]) =>
  (text: string) =>
    words.find((word) => word === text)
const seconds = (most: string) => (text: string) => {
  const ms = duration('0s', most).safeParse(text)
  return ms.success ? { text, seconds: Math.ceil(ms.data / 1_000) } : undefined
}

/** Everything that can be said, by the name of a member of `Settings`. */
const table = {
  upstreamPort: optional({
    argument: '<port>',
    meaning:
      'the port of the workload, or its name; default: the one TCP port that the pod declares',
    expected: 'a port from 1 to 65535 or the name of one',
    read: (text) => port(text) ?? shaped(portName)(text),
  }),
  port: defaulted('8443', {
    argument: '<port>',
    meaning: 'the one port of all callers',
    expected: 'a port from 1 to 65535',
    read: port,
  }),
  healthPort: defaulted('9902', {
    argument: '<port>',
    meaning: 'the port of /livez, /readyz and /metrics',
    expected: 'a port from 1 to 65535',
    read: port,
  }),
  protocol: defaulted('http', {
    argument: '<protocol>',
    meaning: 'http or tcp, as `inbound.protocol`',
    expected: 'http or tcp',
    read: oneOf('http', 'tcp'),
  }),
  upstreamProtocol: defaulted('auto', {
    argument: '<protocol>',
    meaning: 'auto, http1 or h2c, as `inbound.upstreamProtocol`',
    expected: 'auto, http1 or h2c',
    read: oneOf('auto', 'http1', 'h2c'),
  }),
  plaintext: defaulted('refuse', {
    argument: '<answer>',
    meaning: 'refuse or allow, as `inbound.plaintext`',
    expected: 'refuse or allow',
    read: oneOf('refuse', 'allow'),
  }),
  products: defaulted('postern-products', {
    argument: '<config-map>',
    meaning: 'the ConfigMap that holds `products.yaml` and the PEM files that it names',
    expected: 'the name of a ConfigMap',
    read: shaped(dnsName),
  }),
  keys: optional({
    argument: '<secret>',
    meaning: 'the Secret that holds `api-keys.yaml`; default: no keys',
    expected: 'the name of a Secret',
    read: shaped(dnsName),
  }),
  config: optional({
    argument: '<config-map>',
    meaning: 'a ConfigMap with a `postern.yaml` for what has no setting here; settings here win',
    expected: 'the name of a ConfigMap',
    read: shaped(dnsName),
  }),
  agentSocket: defaulted('csi:spire-agent.sock', {
    argument: '<socket>',
    meaning:
      'the Workload API: `csi:NAME` for that socket in a volume of the SPIFFE CSI driver, or `/path` for a socket of the node',
    expected: 'csi:NAME or the absolute path of a socket of the node',
    read: agentSocket,
  }),
  image: optional({
    argument: '<image>',
    meaning: 'the image of the sidecar; default: `postern` of the version that injects',
    expected: 'the name of an image',
    read: shaped(/^[\w./:@-]{1,512}$/),
  }),
  user: defaulted('8443', {
    argument: '<uid>',
    meaning: 'the numeric user and group of the sidecar; not root, and not one of the workload',
    expected: 'a user id from 1 to 2147483647',
    read: (text) => (/^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined),
  }),
  cpuRequest: defaulted('50m', {
    argument: '<quantity>',
    meaning: 'CPU that is asked for',
    expected: 'a quantity such as 100m',
    read: quantity,
  }),
  cpuLimit: optional({
    argument: '<quantity>',
    meaning: 'the most CPU; default: none',
    expected: 'a quantity such as 1',
    read: quantity,
  }),
  memoryRequest: defaulted('128Mi', {
    argument: '<quantity>',
    meaning: 'memory that is asked for',
    expected: 'a quantity such as 128Mi',
    read: quantity,
  }),
  memoryLimit: defaulted('256Mi', {
    argument: '<quantity>',
    meaning: 'the most memory',
    expected: 'a quantity such as 256Mi',
    read: quantity,
  }),
  drainDelay: optional({
    argument: '<duration>',
    meaning:
      '`drain.delay`; default: 0s, and 5s for a plain container, which is told to end with the workload',
    expected: 'a duration of 0s to 10m',
    read: seconds('10m'),
  }),
  drainTimeout: defaulted('25s', {
    argument: '<duration>',
    meaning: '`drain.timeout`',
    expected: 'a duration of 0s to 1h',
    read: seconds('1h'),
  }),
  redirect: defaulted('false', {
    meaning:
      'send what reaches the port of the workload to the sidecar, by iptables in an init container',
    expected: 'true or false',
    read: trueOrFalse,
  }),
  redirectImage: optional({
    argument: '<image>',
    meaning:
      'an image with `sh` and `iptables` for it; default: `postern-redirect` of the version that injects',
    expected: 'the name of an image',
    read: shaped(/^[\w./:@-]{1,512}$/),
  }),
}

type Table = typeof table
export type SettingKey = keyof Table
/** What an injected sidecar is to be like. */
export type Settings = {
  readonly [Key in SettingKey]: Table[Key] extends Setting<infer Value> ? Value : never
}

/** Each with its name as a flag and annotation: `upstream-port`. */
export const settingList: readonly (Setting<unknown> & {
  readonly key: SettingKey
  readonly name: string
})[] = Object.entries(table).map(([key, setting]) => ({
  ...setting,
  key: key as SettingKey,
  name: key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
}))

/** Reads one value. Throws an error that says what is wrong with it. */
export function readSetting(setting: Setting<unknown>, written: string): unknown {
  const value = setting.read(written)
  if (value !== undefined) return value
  throw new TypeError(`${JSON.stringify(written.slice(0, 80))} is not ${setting.expected}`)
}

/** What holds where nobody says anything. */
export const defaultSettings = Object.fromEntries(
  settingList.map((setting) => [
    setting.key,
    setting.default === undefined ? undefined : readSetting(setting, setting.default),
  ]),
) as Settings

export function trueOrFalse(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

/** Where the sidecar finds its agent. */
export type AgentSocket =
  | { readonly kind: 'csi'; readonly file: string }
  | { readonly kind: 'host'; readonly directory: string; readonly file: string }

function agentSocket(text: string): AgentSocket | undefined {
  const [, inVolume] = /^csi:([A-Za-z0-9][\w.-]{0,60})$/.exec(text) ?? []
  if (inVolume !== undefined) return { kind: 'csi', file: inVolume }
  const [, directory, file] = /^(\/.+)\/([^/]+)$/.exec(text) ?? []
  if (directory === undefined || file === undefined || text.includes('/../')) return undefined
  // The rules of `unix:` addresses hold for the path of a socket.
  return parseAddress(`unix:${text}`).kind === 'unix'
    ? { kind: 'host', directory, file }
    : undefined
}

function defaulted<Value>(
  written: string,
  setting: Omit<Setting<Value>, 'default'>,
): Setting<Value> {
  return { ...setting, default: written }
}

function optional<Value>(setting: Omit<Setting<Value>, 'default'>): Setting<Value | undefined> {
  return setting
}
