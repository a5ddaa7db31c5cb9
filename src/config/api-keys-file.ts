import type { ApiKeys } from '../policy/api-keys.ts'
import { keysFrame, keySchema } from './api-keys-schema.ts'
import { Checker } from './checker.ts'
import { KeyCollector } from './key-collector.ts'
import { KeyLines } from './key-lines.ts'
import { ConfigError } from './problem.ts'
import { YamlSource } from './yaml-source.ts'

/** Largest api-keys.yaml with one entry to a line, bytes: three million keys. */
export const largestKeysFile = 512 * 1024 * 1024

/** Largest api-keys.yaml in any other form of YAML, characters: it takes a hundred times as long. */
const largestOtherKeysFile = 8 * 1024 * 1024

/** An entry as `postern key create --append` writes it has about as many. */
const charactersPerKey = 150

/**
 * Parses api-keys.yaml (DESIGN.md 4). `file` names it in messages. Throws `ConfigError` with every problem; no message holds
 * what stands in place of a digest.
 */
export function parseApiKeys(text: string, file: string): ApiKeys {
  return readApiKeys(text, file).keys
}

/** As `parseApiKeys`, with the form in which the file is written: one entry to a line, or any other. */
export function readApiKeys(
  text: string,
  file: string,
): { readonly keys: ApiKeys; readonly form: 'lines' | 'other' } {
  const lines = new KeyLines(file, Math.ceil(text.length / charactersPerKey))
  const keys = lines.push(text) ? lines.finish() : undefined
  if (keys !== undefined) return { keys, form: 'lines' }
  return { keys: parseOtherKeys(text, file, lines.line), form: 'other' }
}

/** As `parseApiKeys`, by the YAML parser, whatever the form. `oddLine`: the first line that is not of the usual form. */
export function parseOtherKeys(text: string, file: string, oddLine: number): ApiKeys {
  if (text.length > largestOtherKeysFile) throw new ConfigError([tooLarge(file, oddLine)])
  const source = YamlSource.parse(text, file, { maxLength: largestOtherKeysFile })
  const checker = new Checker(source)
  const entries = checker.check(keysFrame, source.value, [])?.keys ?? []
  const collector = new KeyCollector(file, entries.length)
  for (const [index, value] of entries.entries()) {
    const key = checker.check(keySchema, value, ['keys', index])
    if (key === undefined) continue
    const { notBefore: notBeforeMs = -Infinity, expires: expiresMs = Infinity, ...rest } = key
    const { line, column } = source.valuePosition(['keys', index])
    collector.add({ ...rest, notBeforeMs, expiresMs, line }, column)
  }
  return collector.finish(checker.problems)
}

function tooLarge(file: string, oddLine: number) {
  return {
    where: `${file}:${oddLine}:1`,
    path: 'keys',
    message:
      'is not one entry as postern key create --append writes it, which a file above 8 MiB must hold on each line',
  }
}
