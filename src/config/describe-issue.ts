import type { z } from 'zod'
import { quoted } from '../spiffe/quoted.ts'

/** What is wrong and what is expected, in the words of the problem list. An error map of zod, for what no schema says itself. */
export function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    return `is ${whatIs(issue.input)}, expected ${expectedType(issue.expected)}`
  }
  if (issue.code === 'invalid_value') {
    return `is ${shown(issue.input)}, expected ${issue.values.map(String).join(' or ')}`
  }
  if (issue.code === 'too_small') return `${amountOf(issue)}, expected at least ${issue.minimum}`
  if (issue.code === 'too_big') return `${amountOf(issue)}, expected at most ${issue.maximum}`
  return issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined
}

/** What a value is, for people: `missing`, `a number`. Never the value itself. */
export function whatIs(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  return typeNames[typeof value] ?? typeof value
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
}

function expectedType(expected: string): string {
  return typeNames[expected] ?? expected
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  return typeof value === 'number' ? String(value) : whatIs(value)
}

function amountOf(issue: z.core.$ZodRawIssue): string {
  if (typeof issue.input === 'number') return `is ${issue.input}`
  if (Array.isArray(issue.input)) return `has ${issue.input.length} entries`
  return 'has the wrong size'
}
