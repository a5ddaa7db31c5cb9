import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { z } from 'zod'

const file = new URL('../../docs/audit.schema.json', import.meta.url)
const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(file, 'utf8')) as z.core.JSONSchema.JSONSchema,
)

/** Asserts that it is a line of the audit log as docs/audit.schema.json describes it, with nothing beside. */
export function assertAuditLine(line: unknown): void {
  const { error } = schema.safeParse(line)
  assert.equal(error, undefined, `${error?.message ?? ''}\n${JSON.stringify(line)}`)
}
