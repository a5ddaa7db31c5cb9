/** Puts the files of the status page, which the compiler does not know, beside the code that serves them. */
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './lib/run.mjs'

const page = 'admin/page'
const source = join(root, 'src', page)
if (existsSync(source)) cpSync(source, join(root, 'dist', page), { recursive: true })
