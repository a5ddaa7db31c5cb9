/**
 * `npm run bench -- NAME ...`: runs benchmarks one after the other; `npm run bench -- NAME -- OPTION ...` gives them options.
 * Exit code 0 when all of them ended with 0, 1 when one did not, 64 when it was called wrongly.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildWhenStale } from '../scripts/lib/build.mjs'
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
  if (names.length === 0) return refuse('name at least one benchmark')
  return runAll(names.map(rowOf), options)
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
  let exitCode = 0
  for (const { name, file } of rows) {
    console.log(`\n== ${name}`)
    if (!(await succeeds(file, options))) exitCode = 1
  }
  return exitCode
}

async function succeeds(file, options) {
  const node = ['--import', 'tsx', join(folder, file), ...options]
  const child = spawn(process.execPath, node, { cwd: dirname(folder), stdio: 'inherit' })
  const [code] = await once(child, 'close')
  return code === 0
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
    'use: npm run bench -- NAME ... [-- OPTION ...]',
    '     npm run bench -- --list',
    '',
    ...rows,
  ].join('\n')
}
