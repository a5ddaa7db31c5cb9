/**
 * `npm run bench -- NAME ...`: runs benchmarks one after the other, without a NAME the one beside the neighbours;
 * `npm run bench -- NAME -- OPTION ...` gives them options.
 * Exit code 0 when all of them ended with 0, 1 when one did not, 64 when it was called wrongly.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { benchToolTable } from '../scripts/lib/bench-tool-table.mjs'
import { buildWhenStale } from '../scripts/lib/build.mjs'
import { binFolder } from '../scripts/lib/tool-cache.mjs'
import { installTools } from '../scripts/lib/tools.mjs'
import { benchmarks } from './table.mjs'

const folder = dirname(fileURLToPath(import.meta.url))
const wrongUse = 64

process.exitCode = await main(process.argv.slice(2))

async function main(words) {
  const { names, options } = parse(words)
  if (names.includes('--help') || names.includes('-h')) return say(usage())
  if (names.includes('--list')) return say(listing())
  const unknown = names.filter((name) => rowOf(name) === undefined)
  if (unknown.length > 0) return refuse(`no benchmark ${unknown.join(', ')}`)
  return runAll(names.length === 0 ? byDefault() : names.map(rowOf), options)
}

/** What stands behind `--` is for the benchmarks. */
function parse(words) {
  const end = words.indexOf('--')
  return end === -1
    ? { names: words, options: [] }
    : { names: words.slice(0, end), options: words.slice(end + 1) }
}

async function runAll(rows, options) {
  if (rows.some(({ needsBuild }) => needsBuild)) buildWhenStale()
  if (rows.some(({ needsTools }) => needsTools)) await findTools()
  let exitCode = 0
  for (const { name, file } of rows) {
    console.log(`\n== ${name}`)
    if (!(await succeeds(file, options))) exitCode = 1
  }
  return exitCode
}

/** Neighbours and load generator, for PATH. What cannot be had is said, and left out of the tables. */
async function findTools() {
  const { failures } = await installTools({ say: console.error, table: benchToolTable })
  for (const failure of failures) console.error(`without ${failure}`)
  process.env.PATH = [binFolder(), process.env.PATH, '/usr/sbin'].join(delimiter)
}

async function succeeds(file, options) {
  const node = ['--import', 'tsx', join(folder, file), ...options]
  const child = spawn(process.execPath, node, { cwd: dirname(folder), stdio: 'inherit' })
  const [code] = await once(child, 'close')
  return code === 0
}

function byDefault() {
  return benchmarks.filter(({ isDefault }) => isDefault)
}

function rowOf(wanted) {
  return benchmarks.find(({ name }) => name === wanted)
}

function refuse(reason) {
  console.error(`${reason}; there are: ${benchmarks.map(({ name }) => name).join(', ')}`)
  return wrongUse
}

function say(text) {
  console.log(text)
  return 0
}

function listing() {
  return benchmarks.map(({ name }) => name).join('\n')
}

function usage() {
  const width = Math.max(...benchmarks.map(({ name }) => name.length))
  const rows = benchmarks.flatMap(({ name, measures, options }) => [
    `  ${name.padEnd(width)}  ${measures}`,
    ...(options === undefined ? [] : [`  ${''.padEnd(width)}    -- ${options}`]),
  ])
  return [
    'use: npm run bench [-- NAME ... [-- OPTION ...]]',
    '     npm run bench -- --list',
    '',
    ...rows,
  ].join('\n')
}
