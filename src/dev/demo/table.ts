import type { Paint } from './paint.ts'
import type { Row } from './play.ts'

/** Rows under a heading. */
export interface RowGroup {
  readonly heading: string
  readonly rows: readonly Row[]
}

const header = ['caller', 'status', 'product', 'principal', 'reason']

/** The groups below each other with common columns; a tick where the answer is the right one. */
export function renderTable(groups: readonly RowGroup[], paint: Paint): string[] {
  const rows = groups.flatMap((group) => group.rows)
  const widths = columnWidths([header, ...rows.map(cellsOf)])
  return groups.flatMap(({ heading, rows: own }) => [
    heading,
    '',
    paint('dim', `    ${align(header, widths)}`),
    ...own.map((row) => `  ${mark(row, paint)} ${align(cellsOf(row), widths)}`),
    ...own.filter((row) => !row.isRight).map((row) => paint('red', `    ${expectation(row)}`)),
    '',
  ])
}

function cellsOf({ call, status, product, principal, reason }: Row): string[] {
  return [call.caller, status, product, principal, reason]
}

function columnWidths(lines: readonly (readonly string[])[]): number[] {
  return header.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)))
}

function align(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join('  ')
    .trimEnd()
}

function mark(row: Row, paint: Paint): string {
  return row.isRight ? paint('green', '✔') : paint('red', '✘')
}

function expectation({ call }: Row): string {
  const { status, product = '-', principal = '-', reason } = call.expected
  return `${call.caller}: expected ${status}, ${product}, ${principal}, ${reason}`
}
