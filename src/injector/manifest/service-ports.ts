import { z } from 'zod'
import { isMap, type Json, type JsonMap, listAt, mapAt, textAt, without } from '../json.ts'
import { targetPortsName } from '../pod/annotations.ts'
import type { Ports } from '../pod/inject.ts'

/** A workload whose pods have the sidecar now. */
export interface GuardedWorkload {
  readonly title: string
  readonly namespace: string | undefined
  /** Of its pods. */
  readonly labels: JsonMap
  readonly ports: Ports
  /** Names that its containers give the port of the workload. */
  readonly portNames: readonly string[]
}

/** Ports of a Service that lead past the sidecar, by their index. */
export function unguardedPorts(service: JsonMap, workload: GuardedWorkload): number[] {
  if (!selects(mapAt(mapAt(service, 'spec'), 'selector'), workload.labels)) return []
  return listAt(mapAt(service, 'spec'), 'ports').flatMap((port, index) => {
    const target = isMap(port) ? (port['targetPort'] ?? port['port']) : undefined
    const isTcp = (textAt(port, 'protocol') ?? 'TCP') === 'TCP'
    const isOurs =
      target === workload.ports.upstream || workload.portNames.some((name) => name === target)
    return isTcp && isOurs ? [index] : []
  })
}

function selects(selector: JsonMap, labels: JsonMap): boolean {
  const wanted = Object.entries(selector)
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value)
}

const recordSchema = z.strictObject({
  /** By index: the target port from before; null: there was none. */
  ports: z.record(z.string().regex(/^[0-9]{1,4}$/), z.union([z.string(), z.int(), z.null()])),
  createdAnnotations: z.literal(true).optional(),
  /** The key stood there without a value. */
  nullAnnotations: z.literal(true).optional(),
})

/**
 * Points ports at the sidecar, and notes in an annotation where they pointed. By number: before Kubernetes 1.32 a Service does
 * not find the name of a native sidecar's port. Pure.
 */
export function renamePorts(
  service: JsonMap,
  indexes: readonly number[],
  sidecarPort: number,
): JsonMap {
  const spec = mapAt(service, 'spec')
  const ports = listAt(spec, 'ports')
  const annotations = mapAt(service, 'metadata')['annotations']
  const before = indexes.map((index): [string, Json] => [
    String(index),
    targetPort(ports[index]) ?? null,
  ])
  const record = {
    ports: Object.fromEntries(before),
    ...(isMap(annotations) ? {} : { createdAnnotations: true }),
    ...(annotations === null && { nullAnnotations: true }),
  }
  return {
    ...service,
    metadata: {
      ...mapAt(service, 'metadata'),
      annotations: {
        ...(isMap(annotations) ? annotations : {}),
        [targetPortsName]: JSON.stringify(record),
      },
    },
    spec: {
      ...spec,
      ports: ports.map((port, index) =>
        indexes.includes(index) && isMap(port) ? { ...port, targetPort: sidecarPort } : port,
      ),
    },
  }
}

/** Points the ports back. The same Service when they were never renamed; undefined when the annotation is not ours. */
export function restorePorts(service: JsonMap): JsonMap | undefined {
  const metadata = mapAt(service, 'metadata')
  const text = textAt(mapAt(metadata, 'annotations'), targetPortsName)
  if (text === undefined) return service
  const record = readRecord(text)
  if (record === undefined) return undefined
  const annotations = without(mapAt(metadata, 'annotations'), targetPortsName)
  const isEmptied = record.createdAnnotations === true && Object.keys(annotations).length === 0
  const bare = without(metadata, 'annotations')
  const spec = mapAt(service, 'spec')
  return {
    ...service,
    metadata: !isEmptied
      ? { ...metadata, annotations }
      : record.nullAnnotations === true
        ? { ...bare, annotations: null }
        : bare,
    spec: {
      ...spec,
      ports: listAt(spec, 'ports').map((port, index) => {
        const before = record.ports[String(index)]
        if (before === undefined || !isMap(port)) return port
        return before === null ? without(port, 'targetPort') : { ...port, targetPort: before }
      }),
    },
  }
}

function targetPort(port: Json | undefined): Json | undefined {
  return isMap(port) ? port['targetPort'] : undefined
}

function readRecord(text: string): z.infer<typeof recordSchema> | undefined {
  try {
    return recordSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
