/**
 * `npm run sbom --silent`: prints what a production installation consists of, as CycloneDX in JSON, from package-lock.json alone.
 * `npm sbom --omit dev` in the checkout leaves out what development needs too, such as zod: it gets files that know of no development.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, run } from './lib/run.mjs'

const scratch = mkdtempSync(join(tmpdir(), 'postern-sbom-'))
try {
  process.exitCode = await printSbom()
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

async function printSbom() {
  const manifest = withoutDevelopment(readJson('package.json'))
  const lock = readJson('package-lock.json')
  // npm names the whole by its folder.
  const folder = join(scratch, manifest.name)
  mkdirSync(folder)
  writeJson(join(folder, 'package.json'), manifest)
  writeJson(join(folder, 'package-lock.json'), {
    ...lock,
    packages: { ...lock.packages, '': withoutDevelopment(lock.packages['']) },
  })
  const options = ['--package-lock-only', '--sbom-format=cyclonedx', '--sbom-type=application']
  const { code, output } = await run('npm', ['sbom', ...options], {
    cwd: folder,
    timeoutMs: 60_000,
  })
  const stream = code === 0 ? process.stdout : process.stderr
  stream.write(output)
  return code === 0 ? 0 : 1
}

function withoutDevelopment(manifest) {
  return { ...manifest, devDependencies: undefined }
}

function readJson(name) {
  return JSON.parse(readFileSync(join(root, name), 'utf8'))
}

function writeJson(path, value) {
  writeFileSync(path, JSON.stringify(value))
}
