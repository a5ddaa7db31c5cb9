/**
 * Writes the tables of README.md that the code knows best: settings and error codes. With --check it writes nothing and
 * exits 1 when they differ.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { register } from 'tsx/esm/api'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const file = join(root, 'README.md')

register()
const { listOutboundSettings, listSettings } = await import('../src/config/settings.ts')
const { errorCodes } = await import('../src/core/errors.ts')

const before = readFileSync(file, 'utf8')
const tables = { settings: settingsTable(), outbound: outboundTable(), errors: errorsTable() }
const after = Object.entries(tables).reduce(
  (text, [name, rows]) => withTable(text, name, rows),
  before,
)
if (after === before) process.exit(0)
if (process.argv.includes('--check')) {
  console.error('README.md: tables differ from the code; run: node scripts/readme-tables.mjs')
  process.exit(1)
}
writeFileSync(file, after)

function settingsTable() {
  const rows = listSettings().map(({ path, variable, default: value, description }) => [
    `\`${path}\``,
    `\`${variable}\``,
    value === undefined ? '' : `\`${value}\``,
    description,
  ])
  return table(['setting', 'environment variable', 'default', 'what it says'], rows)
}

function outboundTable() {
  const rows = listOutboundSettings().map(({ path, default: value, description }) => [
    `\`${path}\``,
    value === undefined ? '' : `\`${value}\``,
    description,
  ])
  return table(['setting of an entry', 'default', 'what it says'], rows)
}

function errorsTable() {
  const rows = Object.entries(errorCodes).map(([code, meaning]) => [`\`${code}\``, meaning])
  return table(['error code', 'meaning'], rows)
}

function table(header, rows) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const rule = `|${header.map(() => '---').join('|')}|`
  return [line(header), rule, ...rows.map(line)].join('\n')
}

/** Between `<!-- name: ... -->` and the next `<!-- end -->`. */
function withTable(text, name, rows) {
  const place = new RegExp(`(<!-- ${name}: [^>]*-->\n)[^]*?(<!-- end -->)`)
  if (!place.test(text)) throw new Error(`README.md has no place for ${name}`)
  return text.replace(place, (_, start, end) => `${start}\n${rows}\n\n${end}`)
}
