/**
 * Writes what docs/observability.md shows of the command line: runs the built program (npm run build) as the test does that
 * compares them, and puts its outputs where `<!-- output: NAME -->` stands.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { register } from 'tsx/esm/api'

const file = fileURLToPath(new URL('../docs/observability.md', import.meta.url))

register()
const { runDocumented } = await import('../test/e2e/support/documented-run.ts')

let text = readFileSync(file, 'utf8')
for (const [name, output] of await runDocumented()) {
  const place = new RegExp(`(<!-- output: ${name} -->\n)\`\`\`\n[^]*?\`\`\``)
  if (!place.test(text)) throw new Error(`${file} has no place for ${name}`)
  text = text.replace(place, (_, start) => `${start}\`\`\`\n${output}\`\`\``)
}
writeFileSync(file, text)
