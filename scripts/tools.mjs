/**
 * `npm run tools`: installs the outside tools that tests run against, and prints the folder to put on PATH. Fast when
 * there is nothing to do. POSTERN_TOOLS_DIR says where; the default is ~/.cache/postern-tools.
 */
import { binFolder } from './lib/tool-cache.mjs'
import { installTools } from './lib/tools.mjs'

const { failures } = await installTools({ say: console.error })
for (const failure of failures) console.error(failure)
console.log(binFolder())
process.exitCode = failures.length > 0 ? 1 : 0
