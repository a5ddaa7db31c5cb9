import assert from 'node:assert/strict'
import { jsonSchema } from '../../src/config/json-schema.ts'

/** The part of a JSON Schema at a path of property names. */
function at(name: 'config' | 'products' | 'keys', ...path: string[]) {
  return path.reduce<Record<string, unknown>>(
    (schema, key) => (schema[key] ?? {}) as Record<string, unknown>,
    jsonSchema(name),
  )
}

describe('jsonSchema', () => {
  for (const name of ['config', 'products', 'keys'] as const) {
    it(`refuses unknown keys of ${name}, at every level`, () => {
      assert.ok(countMaps(jsonSchema(name)) >= 2)
      assertClosed(jsonSchema(name))
    })
  }

  it('asks for nothing in the sidecar, for version and content in the others', () => {
    assert.equal(jsonSchema('config')['required'], undefined)
    assert.deepEqual(jsonSchema('products')['required'], ['version', 'products'])
    assert.deepEqual(jsonSchema('keys')['required'], ['version', 'keys'])
  })

  it('describes values as they are written, with their defaults', () => {
    const timeout = at('config', 'properties', 'drain', 'properties', 'timeout')
    assert.equal(timeout['type'], 'string')
    assert.equal(timeout['default'], '25s')
    assert.equal(new RegExp(String(timeout['pattern'])).test('25s'), true)
    assert.equal(new RegExp(String(timeout['pattern'])).test('25'), false)
  })

  it('asks for exactly one selector of a caller', () => {
    const caller = at(
      'products',
      ...['properties', 'products', 'additionalProperties', 'properties', 'callers', 'items'],
    )
    assert.deepEqual([caller['minProperties'], caller['maxProperties']], [1, 1])
  })
})

function assertClosed(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return
  const map = schema as Record<string, unknown>
  if (map['properties'] !== undefined) assert.equal(map['additionalProperties'], false)
  for (const child of Object.values(map)) assertClosed(child)
}

function countMaps(schema: unknown): number {
  if (typeof schema !== 'object' || schema === null) return 0
  const own = 'properties' in schema ? 1 : 0
  return Object.values(schema).reduce<number>((sum, child) => sum + countMaps(child), own)
}
