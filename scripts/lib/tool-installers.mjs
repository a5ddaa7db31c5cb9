import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { findOnPath } from './find-on-path.mjs'
import { link, folderOf, markCached, prepareFolder } from './tool-cache.mjs'
import { run } from './run.mjs'

const minute = 60_000

/**
 * One installer per kind of tool. Each throws an Error that names the command and shows the end of its output.
 * `inCache` says where a kind that has its own folder keeps a command.
 */
export const installers = {
  go: { install: installGo, inCache: (command) => command },
  'go-module': { install: buildGoModule, inCache: (command) => command },
  'go-files': { install: installGoFiles, inCache: (command) => command },
  'otel-collector': { install: installCollector, inCache: (command) => command },
  kubernetes: { install: installKubernetes, inCache: (command) => command },
  debian: { install: installDebian },
  'debian-unpacked': { install: unpackDebian, inCache: (command) => join('usr/bin', command) },
  pypi: { install: installPypi, inCache: (command) => join('bin', command) },
  cargo: { install: installCargo, inCache: (command) => join('bin', command) },
  npm: { install: installNpm, inCache: (command) => join('node_modules/.bin', command) },
}

/** Links a cached tool's commands into the folder for PATH. */
export function linkCommands(tool) {
  const { inCache } = installers[tool.kind]
  for (const command of tool.commands) link(command, join(folderOf(tool), inCache(command)))
}

async function installGo(tool) {
  await intoFolder(tool, async (folder) => {
    // Without cgo no tool needs a library of this machine: step-ca would ask for one of smart cards.
    const env = { ...process.env, GOBIN: folder, CGO_ENABLED: '0' }
    await must('go', ['install', `${tool.package}@${tool.version}`], { minutes: 20, env })
    renameSync(join(folder, basename(tool.package)), join(folder, tool.commands[0]))
  })
}

async function buildGoModule(tool) {
  await intoFolder(tool, async (folder) => {
    const options = ['build', '-trimpath', '-ldflags=-s -w', '-o', join(folder, tool.commands[0])]
    const env = { ...process.env, CGO_ENABLED: '0' }
    await must('go', [...options, '.'], { minutes: 20, env, cwd: tool.folder })
  })
}

/** The command prints the folder that holds them. */
async function installGoFiles(tool) {
  await intoFolder(tool, async (folder) => {
    const wanted = `${tool.package}@${tool.version}`
    const output = await must('go', ['mod', 'download', '-json', wanted], {
      minutes: 10,
      cwd: folder,
    })
    // What it downloads is told beside the answer.
    const { Dir: module } = JSON.parse(output.match(/\{[^]*\}/)?.[0] ?? '{}')
    const files = join(folder, 'files')
    cpSync(join(module, tool.files), files, { recursive: true })
    writeFileSync(join(folder, tool.commands[0]), `#!/bin/sh\necho '${files}'\n`, { mode: 0o755 })
  })
}

/** `components` of the tool become a builder file; the builder of the collector is built first, and builds it. */
async function installCollector(tool) {
  await intoFolder(tool, async (folder) => {
    const env = { ...process.env, GOBIN: folder, CGO_ENABLED: '0' }
    await must('go', ['install', `${tool.package}@${tool.version}`], { minutes: 10, env })
    const { receivers, exporters, providers } = tool.components
    const modules = (list) => list.map((gomod) => ({ gomod }))
    const dist = { name: tool.commands[0], output_path: './build' }
    const file = join(folder, 'builder.yaml')
    // JSON is YAML.
    writeFileSync(
      file,
      JSON.stringify({
        dist,
        conf_resolver: { default_uri_scheme: 'file' },
        receivers: modules(receivers),
        exporters: modules(exporters),
        providers: modules(providers),
      }),
    )
    await must(join(folder, 'builder'), ['--config', file], { minutes: 15, env, cwd: folder })
    renameSync(join(folder, 'build', tool.commands[0]), join(folder, tool.commands[0]))
  })
}

/**
 * k8s.io/kubernetes requires its own parts in version 0 and replaces them by folders of its repository, which only counts where
 * it is the main module. A module of our own replaces them by the versions that were published beside it.
 */
async function installKubernetes(tool) {
  await intoFolder(tool, async (folder) => {
    const build = join(folder, 'build')
    mkdirSync(build)
    const wanted = `k8s.io/kubernetes@${tool.version}`
    const output = await must('go', ['mod', 'download', '-json', wanted], {
      minutes: 10,
      cwd: build,
    })
    // What it downloads is told beside the answer.
    const { GoMod: goMod } = JSON.parse(output.match(/\{[^]*\}/)?.[0] ?? '{}')
    writeFileSync(join(build, 'go.mod'), kubernetesModule(tool, readFileSync(goMod, 'utf8')))
    writeFileSync(join(build, 'tools.go'), `package tools\n\nimport _ "${tool.package}/app"\n`)
    await must('go', ['mod', 'tidy'], { minutes: 10, cwd: build })
    const target = join(folder, tool.commands[0])
    const options = ['build', '-trimpath', '-ldflags=-s -w', '-o', target, tool.package]
    await must('go', options, { minutes: 20, cwd: build })
    rmSync(build, { recursive: true })
  })
}

function kubernetesModule({ version }, goMod) {
  const parts = [...goMod.matchAll(/^\s*(?:require\s+)?(k8s\.io\/\S+) v0\.0\.0\s*(?:\/\/.*)?$/gm)]
  const [, go = '1.24'] = /^go (\S+)$/m.exec(goMod) ?? []
  const replaced = parts.map(
    ([, part]) => `replace ${part} => ${part} ${version.replace('v1.', 'v0.')}`,
  )
  const lines = ['module tools', `go ${go}`, `require k8s.io/kubernetes ${version}`, ...replaced]
  return `${lines.join('\n')}\n`
}

async function installPypi(tool) {
  await intoFolder(tool, async (folder) => {
    await must('python3', ['-m', 'venv', folder], { minutes: 2 })
    const wanted = `${tool.package}==${tool.version}`
    await must(join(folder, 'bin/pip'), ['install', '--quiet', wanted], { minutes: 10 })
    // Python looks for its packages beside the path that it was started by: a link from elsewhere finds none.
    const python = `#!/bin/sh\nexec '${join(folder, 'bin/python')}' "$@"\n`
    writeFileSync(join(folder, 'bin', tool.commands[0]), python, { mode: 0o755 })
  })
}

async function installCargo(tool) {
  await intoFolder(tool, async (folder) => {
    const options = ['install', '--quiet', '--locked', '--root', folder, '--version', tool.version]
    await must('cargo', [...options, tool.package], { minutes: 20 })
  })
}

async function installNpm(tool) {
  await intoFolder(tool, async (folder) => {
    const options = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder]
    await must('npm', [...options, `${tool.package}@${tool.version}`], { minutes: 10 })
  })
}

async function installDebian(tool) {
  const options = ['install', '-y', '--no-install-recommends', tool.package]
  const root = await rootCommand()
  if (root === undefined) throw new Error(`needs root; run once: sudo apt-get ${options.join(' ')}`)
  await updatePackageLists(root)
  await must(...root('apt-get', [...lockWait, ...options]), { minutes: 10, env: quiet })
}

/** Needs no root, only package lists that are there. */
async function unpackDebian(tool) {
  const root = await rootCommand()
  if (root !== undefined) await updatePackageLists(root)
  await intoFolder(tool, async (folder) => {
    await must('apt-get', ['download', tool.package], { minutes: 5, cwd: folder })
    const archive = readdirSync(folder).find((file) => file.endsWith('.deb'))
    await must('dpkg-deb', ['-x', archive, '.'], { minutes: 2, cwd: folder })
  })
}

const lockWait = ['-o', 'DPkg::Lock::Timeout=120']
// invoke-rc.d starts no service in run level 1: nobody asked for one.
const quiet = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
let listsUpdated

/** Once per run: a fresh machine has no lists, and an old list names versions that are gone. */
function updatePackageLists(root) {
  listsUpdated ??= must(...root('apt-get', [...lockWait, 'update']), { minutes: 5, env: quiet })
  return listsUpdated
}

/** How to run a command as root, or undefined when that would ask for a password. */
async function rootCommand() {
  if (findOnPath('apt-get') === undefined) {
    throw new Error('there is no apt-get here; install it with the package manager of this machine')
  }
  if (process.getuid() === 0) return (command, options) => [command, options]
  const sudo = await run('sudo', ['-n', 'true'], { timeoutMs: 10_000 })
  if (sudo.code !== 0) return undefined
  return (command, options) => ['sudo', ['-n', command, ...options]]
}

async function intoFolder(tool, install) {
  prepareFolder(tool)
  await install(folderOf(tool))
  markCached(tool)
}

async function must(command, options, { minutes, env, cwd }) {
  const ended = await run(command, options, { timeoutMs: minutes * minute, env, cwd })
  if (ended.code === 0) return ended.output
  const tail = ended.output.trimEnd().split('\n').slice(-10).join('\n  ')
  throw new Error(`${[command, ...options].join(' ')}: ${failureOf(ended, minutes)}\n  ${tail}`)
}

function failureOf({ code, timedOut }, minutes) {
  if (timedOut) return `took longer than ${minutes} min`
  return code === undefined ? 'could not be run' : `exit code ${code}`
}
