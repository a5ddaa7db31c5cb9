import { printable } from './printable.ts'

/** One line of a check. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'problem'
  readonly message: string
  /** What to do about it. */
  readonly hint?: string
}

/** Findings about one thing. */
export interface FindingGroup {
  readonly name: string
  readonly findings: readonly Finding[]
}

const marks = { ok: '√', warning: '‼', problem: '×' } as const

export function ok(message: string): Finding {
  return { level: 'ok', message }
}

export function warning(message: string, hint?: string): Finding {
  return { level: 'warning', message, ...(hint !== undefined && { hint }) }
}

export function problem(message: string, hint?: string): Finding {
  return { level: 'problem', message, ...(hint !== undefined && { hint }) }
}

/** A heading for each group, then a line for each finding with its hint below it. */
export function formatFindings(groups: readonly FindingGroup[]): string {
  return groups
    .filter(({ findings }) => findings.length > 0)
    .map(({ name, findings }) =>
      [name, '-'.repeat(name.length), ...findings.flatMap(lines)].join('\n'),
    )
    .join('\n\n')
}

function lines({ level, message, hint }: Finding): string[] {
  const line = `${marks[level]} ${printable(message)}`
  return hint === undefined ? [line] : [line, `    hint: ${printable(hint)}`]
}
