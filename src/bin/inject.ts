import { readdirSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { formatProblem } from '../config/problem.ts'
import { readTextFile } from '../config/read-file.ts'
import { messageOf, PosternError } from '../core/errors.ts'
import { ejectManifests, injectManifests } from '../injector/manifest/inject-manifests.ts'
import { longestManifest, type ManifestText } from '../injector/manifest/manifest-file.ts'
import { type InjectionFlags, platformOf, settingsOf } from './injection-flags.ts'
import type { OutputForm } from './options.ts'
import { print, type Terminal } from './terminal.ts'

export type InjectFlags = InjectionFlags & {
  readonly filename: readonly string[]
  readonly uninject?: true
  readonly renamePorts?: true
  readonly output: OutputForm
}

/** Writes the manifests with the sidecar, or without it, to stdout, and notes about them to stderr. */
export async function inject(flags: InjectFlags, terminal: Terminal): Promise<void> {
  const sources = await readManifests(flags.filename, terminal)
  const { texts, notes } =
    flags.uninject === true
      ? ejectManifests(sources)
      : injectManifests(sources, {
          defaults: settingsOf(flags),
          platform: platformOf(flags),
          byDefault: true,
          renamesPorts: flags.renamePorts === true,
        })
  if (flags.output === 'json') {
    const files = sources.map(({ name }, index) => ({ name, text: texts[index] }))
    print(terminal, JSON.stringify({ files, notes }))
    return
  }
  for (const note of notes) terminal.stderr.write(`postern: note: ${formatProblem(note)}\n`)
  terminal.stdout.write(joined(texts))
}

/** One stream of documents. A single text stays as it is. */
function joined(texts: readonly string[]): string {
  return texts.reduce((all, text) => {
    const end = all === '' || all.endsWith('\n') ? '' : '\n'
    const mark = all === '' || /^(?:---|%)/.test(text) ? '' : '---\n'
    return all + end + mark + text
  }, '')
}

async function readManifests(
  paths: readonly string[],
  terminal: Terminal,
): Promise<ManifestText[]> {
  const sources: ManifestText[] = []
  for (const path of paths) {
    if (path === '-') sources.push({ name: 'stdin', text: await readAll(terminal) })
    else
      sources.push(
        ...filesOf(path).map((name) => ({ name, text: readTextFile(name, longestManifest) })),
      )
  }
  return sources
}

const extensions = new Set(['.yaml', '.yml', '.json'])

/** The file, or the manifests of a folder in the order of their names; folders in it are not looked into. */
function filesOf(path: string): string[] {
  if (!isFolder(path)) return [path]
  const files = readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && extensions.has(extname(entry.name)))
    .map(({ name }) => join(path, name))
    .sort()
  if (files.length > 0) return files
  throw new PosternError('ERR_FILE_UNREADABLE', `${path} holds no .yaml, .yml or .json file`)
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    const message = `cannot read ${path}: ${messageOf(cause)}`
    throw new PosternError('ERR_FILE_UNREADABLE', message, { cause })
  }
}

async function readAll({ stdin }: Terminal): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk as Buffer)
    size += bytes.length
    if (size > longestManifest) {
      const message = `stdin has more than ${longestManifest} bytes`
      throw new PosternError('ERR_FILE_UNREADABLE', message)
    }
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}
