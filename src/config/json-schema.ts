import { z } from 'zod'
import { keysSchema } from './api-keys-schema.ts'
import { productsSchema } from './products-schema.ts'
import { sidecarSchema } from './sidecar-schema.ts'

/** The files that an operator writes. */
export type SchemaName = 'config' | 'products' | 'keys'

const schemas: Readonly<
  Record<SchemaName, { readonly title: string; readonly schema: z.ZodType }>
> = {
  config: { title: 'postern.yaml', schema: sidecarSchema },
  products: { title: 'products.yaml', schema: productsSchema },
  keys: { title: 'api-keys.yaml', schema: keysSchema },
}

/** The JSON Schema (2020-12) of a file, for editors. What depends on several values is checked when the file is loaded. */
export function jsonSchema(name: SchemaName): Readonly<Record<string, unknown>> {
  const { title, schema } = schemas[name]
  return { title, ...z.toJSONSchema(schema, { io: 'input' }) }
}
