import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { auditJsonSchema } from '../../src/telemetry/audit-schema.ts'
import { root } from './support/readme.ts'

describe('docs/audit.schema.json', () => {
  it('is what `postern schema audit` prints', () => {
    const written = JSON.parse(readFileSync(join(root, 'docs/audit.schema.json'), 'utf8')) as object
    assert.deepEqual(written, JSON.parse(JSON.stringify(auditJsonSchema())))
  })
})
