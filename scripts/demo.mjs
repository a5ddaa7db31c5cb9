/**
 * `npm run demo`: plays every kind of caller against one sidecar. Builds dist/ first when it is missing or older than what
 * it is built from, then becomes `postern demo`, so that Ctrl-C, colours and the exit code are the program's own.
 * `npm run demo -- --keep` stays and prints commands to try.
 */
import { fileURLToPath } from 'node:url'
import { buildWhenStale } from './lib/build.mjs'

const program = new URL('../dist/bin/postern.js', import.meta.url)

buildWhenStale()
process.argv.splice(1, 1, fileURLToPath(program), 'demo')
await import(program.href)
