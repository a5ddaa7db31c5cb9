import assert from 'node:assert/strict'
import { ConfigError, type Problem } from '../../../src/config/problem.ts'

/** The problems that `parse` throws; fails when it throws none. */
export function problemsOf(parse: () => unknown): readonly Problem[] {
  try {
    parse()
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError, String(thrown))
    assert.equal(thrown.code, 'ERR_CONFIG_INVALID')
    return thrown.problems
  }
  assert.fail('nothing was wrong')
}

/** `where: path` of each problem. */
export function placesOf(parse: () => unknown): string[] {
  return problemsOf(parse).map(({ where, path }) => `${where} ${path}`.trimEnd())
}
