import { type Json, type JsonMap, listAt, mapAt, textAt } from '../json.ts'
import { drainDelay, names, type Plan } from './plan.ts'
import { redirectScript } from './redirect-script.ts'
import type { AgentSocket, Settings } from './settings.ts'

/** What the container sees of its volumes. */
const mounts = {
  agent: '/spiffe-workload-api',
  products: '/etc/postern/products',
  keys: '/etc/postern/keys',
  config: '/etc/postern/config',
} as const

type VolumeKey = keyof typeof mounts

/** The container of the sidecar. */
export function sidecarContainer(plan: Plan): JsonMap {
  const { settings, platform } = plan
  return {
    name: names.sidecar,
    image: settings.image ?? `postern:${platform.version}`,
    ...(platform.hasNativeSidecars ? { restartPolicy: 'Always' } : {}),
    args: [
      'run',
      ...(settings.config === undefined ? [] : ['--config', `${mounts.config}/postern.yaml`]),
    ],
    env: environment(plan),
    ports: [
      { name: names.port, containerPort: settings.port, protocol: 'TCP' },
      { name: names.healthPort, containerPort: settings.healthPort, protocol: 'TCP' },
    ],
    // The workload starts when callers can be told apart. The agent may take its time with a new pod.
    startupProbe: { ...probe('/readyz', settings), periodSeconds: 1, failureThreshold: 300 },
    livenessProbe: { ...probe('/livez', settings), periodSeconds: 10, failureThreshold: 3 },
    readinessProbe: { ...probe('/readyz', settings), periodSeconds: 5, failureThreshold: 2 },
    resources: resources(settings),
    securityContext: {
      runAsUser: settings.user,
      runAsGroup: settings.user,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: volumeKeys(settings).map((key) => ({
      name: names.volumes[key],
      mountPath: mounts[key],
      readOnly: true,
    })),
  }
}

const upstreamVariable = 'POSTERN_INBOUND_UPSTREAM'

/** The port of the workload that the sidecar in this pod guards; undefined where there is none, or it says no port. */
export function guardedPort(template: JsonMap): number | undefined {
  const spec = mapAt(template, 'spec')
  const containers = [...listAt(spec, 'initContainers'), ...listAt(spec, 'containers')]
  const sidecar = containers.find((one) => textAt(one, 'name') === names.sidecar)
  const variable = listAt(sidecar, 'env').find((one) => textAt(one, 'name') === upstreamVariable)
  const [, port] = /^127\.0\.0\.1:([1-9][0-9]{0,4})$/.exec(textAt(variable, 'value') ?? '') ?? []
  return port === undefined ? undefined : Number(port)
}

/** The init container that redirects, which needs what no other container here has: root and the rights over the pod's network. */
export function redirectContainer({ settings, platform, upstreamPort }: Plan): JsonMap {
  return {
    name: names.redirect,
    image: settings.redirectImage ?? `postern-redirect:${platform.version}`,
    command: ['sh', '-ec', redirectScript],
    env: [
      { name: 'POSTERN_REDIRECT_FROM', value: String(upstreamPort) },
      { name: 'POSTERN_REDIRECT_TO', value: String(settings.port) },
    ],
    resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
  }
}

/** The volumes that the sidecar mounts, all read-only. */
export function sidecarVolumes({ settings }: Plan): JsonMap[] {
  const sources: Readonly<Record<VolumeKey, JsonMap>> = {
    agent: agentVolume(settings.agentSocket),
    products: { configMap: { name: settings.products } },
    keys: { secret: { secretName: settings.keys } },
    config: { configMap: { name: settings.config } },
  }
  return volumeKeys(settings).map((key) => ({ name: names.volumes[key], ...sources[key] }))
}

function agentVolume(socket: AgentSocket): JsonMap {
  return socket.kind === 'csi'
    ? { csi: { driver: 'csi.spiffe.io', readOnly: true } }
    : { hostPath: { path: socket.directory, type: 'Directory' } }
}

function volumeKeys({ keys, config }: Settings): VolumeKey[] {
  return [
    'agent',
    'products',
    ...(keys === undefined ? [] : ['keys' as const]),
    ...(config === undefined ? [] : ['config' as const]),
  ]
}

/**
 * Settings as variables, which win over a postern.yaml; what is as the sidecar has it by itself is left to that file. It listens on
 * every address, because the pods of a cluster have IPv4, IPv6 or both.
 */
function environment(plan: Plan): Json[] {
  const { settings, platform, upstreamPort } = plan
  const variables: [string, string][] = [
    ['SPIFFE_ENDPOINT_SOCKET', `unix://${mounts.agent}/${settings.agentSocket.file}`],
    ['POSTERN_INBOUND_LISTEN', `[::]:${settings.port}`],
    [upstreamVariable, `127.0.0.1:${upstreamPort}`],
    ...unless('http', 'POSTERN_INBOUND_PROTOCOL', settings.protocol),
    ...unless('auto', 'POSTERN_INBOUND_UPSTREAM_PROTOCOL', settings.upstreamProtocol),
    ...unless('refuse', 'POSTERN_INBOUND_PLAINTEXT', settings.plaintext),
    ['POSTERN_PRODUCTS', `${mounts.products}/products.yaml`],
    ...unless(undefined, 'POSTERN_API_KEYS', settings.keys && `${mounts.keys}/api-keys.yaml`),
    ['POSTERN_HEALTH_LISTEN', `[::]:${settings.healthPort}`],
    ['POSTERN_DRAIN_DELAY', drainDelay(settings, platform).text],
    ['POSTERN_DRAIN_TIMEOUT', settings.drainTimeout.text],
  ]
  return variables.map(([name, value]) => ({ name, value }))
}

function unless(
  usual: string | undefined,
  name: string,
  value: string | undefined,
): [string, string][] {
  return value === undefined || value === usual ? [] : [[name, value]]
}

function probe(path: string, { healthPort }: Settings): JsonMap {
  return { httpGet: { path, port: healthPort }, timeoutSeconds: 2 }
}

function resources(settings: Settings): JsonMap {
  const { cpuRequest, memoryRequest, cpuLimit, memoryLimit } = settings
  return {
    requests: { cpu: cpuRequest, memory: memoryRequest },
    limits: { ...(cpuLimit === undefined ? {} : { cpu: cpuLimit }), memory: memoryLimit },
  }
}
