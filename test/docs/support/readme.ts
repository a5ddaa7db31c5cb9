import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The checkout. */
export const root = fileURLToPath(new URL('../../..', import.meta.url))

/** README.md, by its headings, tables and examples. */
export class Readme {
  readonly text: string

  constructor(text = readFileSync(`${root}/README.md`, 'utf8')) {
    this.text = text
  }

  /** What stands below a heading of the second level. */
  section(heading: string): Readme {
    const [, section] = new RegExp(`\n## ${heading}\n([^]*?)(?=\n## |$)`).exec(this.text) ?? []
    if (section === undefined) throw new Error(`README.md has no section ${heading}`)
    return new Readme(section)
  }

  /** The cells of every row of every table, without headers. */
  get rows(): string[][] {
    const lines = this.text.split('\n')
    return lines
      .filter((line, i) => line.startsWith('|') && !isHeader(lines, i))
      .map((line) => line.slice(1, -1).split(/(?<!\\)\|/))
      .map((cells) => cells.map((cell) => cell.trim()))
  }

  /** The cells of the rows that name this in code style in their first cell. */
  rowOf(name: string): string[] | undefined {
    return this.rows.find(([first]) => codesIn(first).includes(name))
  }

  /** Names in code style in the first cells of all rows. */
  get named(): string[] {
    return this.rows.flatMap(([first]) => codesIn(first))
  }

  /** Everything in code style. */
  get codes(): string[] {
    return codesIn(this.text)
  }

  /** The text of the code block that is marked with this name. */
  example(name: string): string {
    const [, text] =
      new RegExp(`<!-- (?:example: )?${name} -->\n\`\`\`\\w*\n([^]*?)\`\`\``).exec(this.text) ?? []
    if (text === undefined) throw new Error(`README.md has no example ${name}`)
    return text
  }
}

function isHeader(lines: readonly string[], index: number): boolean {
  return isRule(lines[index]) || isRule(lines[index + 1])
}

function isRule(line = ''): boolean {
  return /^\|[-|]+\|$/.test(line)
}

function codesIn(text = ''): string[] {
  return [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
}
