import assert from 'node:assert/strict'
import { cp, mkdir, readdir, stat } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { runProgram } from '../../e2e/support/programs.ts'
import type { Instruction, Stage } from './dockerfile.ts'

export interface ImageBuildOptions {
  readonly stages: readonly Stage[]
  /** The build context. */
  readonly context: string
  /** Whether the engine would get this path of it. */
  readonly isSent: (path: string) => boolean
  /** Where each stage gets a folder of its name, which stands for its root. */
  readonly directory: string
}

/**
 * Runs the steps of a stage, and of those that it copies from, without an engine: WORKDIR, COPY and RUN. The base image is this
 * machine, and a RUN has the whole of it before it: only steps that stay in their folder may be run so.
 * Resolves to the folder that stands for the root of the image.
 */
export async function buildStage(name: string, options: ImageBuildOptions): Promise<string> {
  const stage = options.stages.find((candidate) => candidate.name === name)
  assert.ok(stage, `no stage ${name}`)
  const root = join(options.directory, name)
  await mkdir(root)
  let workdir = '/'
  for (const instruction of stage.instructions) {
    if (instruction.name === 'WORKDIR') {
      workdir = join('/', workdir, instruction.text)
      await mkdir(join(root, workdir), { recursive: true })
    }
    if (instruction.name === 'COPY') await copy(instruction, { root, workdir, options })
    if (instruction.name === 'RUN') await runStep(instruction.text, join(root, workdir))
  }
  return root
}

interface Place {
  readonly root: string
  readonly workdir: string
  readonly options: ImageBuildOptions
}

/** A folder is copied as what it holds, as engines do. */
async function copy({ text, flags }: Instruction, place: Place): Promise<void> {
  const paths = text.split(/\s+/)
  const target = paths.pop() ?? ''
  const to = join(place.root, target.startsWith('/') ? '/' : place.workdir, target)
  const { from } = flags
  const source = from === undefined ? place.options.context : join(place.options.directory, from)
  if (from !== undefined && !(await exists(source))) await buildStage(from, place.options)
  for (const path of paths) {
    const origin = join(source, path)
    const isFolder = (await stat(origin)).isDirectory()
    const intoFolder = target.endsWith('/') || paths.length > 1
    await cp(origin, !isFolder && intoFolder ? join(to, basename(path)) : to, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => from !== undefined || isFolderOrSent(relative(source, file), place.options),
    })
  }
}

/** A folder may hold what an exception lets through. */
async function isFolderOrSent(path: string, options: ImageBuildOptions): Promise<boolean> {
  return options.isSent(path) || (await stat(join(options.context, path))).isDirectory()
}

async function runStep(command: string, cwd: string): Promise<void> {
  const ended = await runProgram('sh', ['-c', command], { cwd, timeoutMs: 8 * 60_000 })
  assert.equal(ended.code, 0, `${command}:\n${ended.stdout}${ended.stderr}`)
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Every file below, with its size in bytes, by its path from there. */
export async function filesBelow(directory: string): Promise<ReadonlyMap<string, number>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  const sizes = await Promise.all(
    files.map(async (file) => {
      const path = join(file.parentPath, file.name)
      return [relative(directory, path), (await stat(path)).size] as const
    }),
  )
  return new Map(sizes.sort(([a], [b]) => (a < b ? -1 : 1)))
}
