import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from 'mocha'
import { parse } from 'yaml'
import { runProgram } from '../../e2e/support/programs.ts'
import { requireTool } from '../../support/tools.ts'
import { schemasOfSpire } from './spire-kinds.ts'

/** What kubeconform says of one resource. */
export interface Conformance {
  readonly kind: string
  readonly name: string
  readonly status: 'statusValid' | 'statusInvalid' | 'statusError' | 'statusSkipped'
  readonly msg?: string
}

/** kubeconform, with the schemas of Kubernetes, of the Prometheus operator and of SPIRE on this machine, each as strict as a server is. */
export class Schemas {
  readonly #program: string
  readonly #folder: string
  readonly #published: string

  private constructor(program: string, folder: string, published: string) {
    this.#program = program
    this.#folder = folder
    this.#published = published
  }

  /** Skips the test, or its suite, where a tool is missing. They are kept in `folder`. */
  static async open(context: Context, folder: string): Promise<Schemas> {
    const program = requireTool(context, 'kubeconform')
    const python = requireTool(context, 'python-kubernetes-validate')
    const crds = requireTool(context, 'prometheus-operator-crds')
    const published = await printed(python, [
      '-c',
      'import kubernetes_validate as k; print(k.__path__[0])',
    ])
    const schemas = new Schemas(program, folder, join(published, 'kubernetes-json-schema'))
    schemas.#writeCustom(await printed(crds, []))
    return schemas
  }

  /** All of them, in the order of their kinds and names. `version` is that of the cluster, such as 1.34.0. */
  async check(manifests: readonly object[], version: string): Promise<readonly Conformance[]> {
    const folder = this.#native(version)
    const locations = [folder, this.#custom].flatMap((where) => [
      '-schema-location',
      join(where, '{{.ResourceKind}}{{.KindSuffix}}.json'),
    ])
    const options = ['-strict', '-verbose', '-output', 'json', ...locations]
    const list = { apiVersion: 'v1', kind: 'List', items: manifests }
    const { stdout, stderr } = await runProgram(
      this.#program,
      [...options, '-kubernetes-version', version],
      { input: JSON.stringify(list), timeoutMs: 60_000 },
    )
    if (!stdout.startsWith('{')) throw new Error(`${stdout}${stderr}`)
    const { resources } = JSON.parse(stdout) as { readonly resources: readonly Conformance[] }
    const nameOf = ({ kind, name }: Conformance) => `${kind} ${name}`
    return resources.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  }

  /** Without their ids, which would send kubeconform to the network for what they refer to. */
  #native(version: string): string {
    const folder = join(this.#folder, version)
    if (existsSync(folder)) return folder
    mkdirSync(folder)
    const from = join(this.#published, `v${version}-local-strict`)
    for (const file of readdirSync(from)) {
      const text = readFileSync(join(from, file), 'utf8')
        .replaceAll(/"\$(?:id|schema)": "[^"]*",?/g, '')
        .replace(/,(?=\s*\}\s*$)/, '')
        .replaceAll('"/api/_definitions.json#', '"_definitions.json#')
      writeFileSync(join(folder, file), text)
    }
    return folder
  }

  get #custom(): string {
    return join(this.#folder, 'custom')
  }

  #writeCustom(crds: string): void {
    mkdirSync(this.#custom, { recursive: true })
    for (const file of readdirSync(crds)) {
      const { spec } = parse(readFileSync(join(crds, file), 'utf8')) as CustomResourceDefinition
      const [group = ''] = spec.group.split('.')
      for (const { name, schema } of spec.versions) {
        const target = `${spec.names.kind.toLowerCase()}-${group}-${name}.json`
        writeFileSync(join(this.#custom, target), JSON.stringify(strict(schema.openAPIV3Schema)))
      }
    }
    for (const { kind, schema } of schemasOfSpire) {
      const target = `${kind.toLowerCase()}-spire-v1alpha1.json`
      writeFileSync(join(this.#custom, target), JSON.stringify(schema))
    }
  }
}

interface CustomResourceDefinition {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly {
      readonly name: string
      readonly schema: { readonly openAPIV3Schema: unknown }
    }[]
  }
}

/** A server drops what a structural schema does not name; here it is refused. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict)
  if (typeof schema !== 'object' || schema === null) return schema
  const members = Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [name, strict(value)]),
  )
  const isClosed =
    typeof members['properties'] === 'object' &&
    members['type'] === 'object' &&
    members['x-kubernetes-preserve-unknown-fields'] !== true
  return isClosed ? { additionalProperties: false, ...members } : members
}

async function printed(program: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(program, args)
  if (code !== 0) throw new Error(stderr)
  return stdout.trim()
}
