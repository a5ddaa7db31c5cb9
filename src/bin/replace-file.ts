import { existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { messageOf, PosternError } from '../core/errors.ts'

const newFileMode = 0o600

/**
 * Puts `text` in the place of a file, whole or not at all: a sidecar that watches it never reads half of it. The mode of an
 * existing file is kept. Throws `PosternError` ERR_FILE_UNREADABLE.
 */
export function replaceFile(file: string, text: string): void {
  const draft = `${file}.new`
  try {
    const mode = existsSync(file) ? statSync(file).mode & 0o777 : newFileMode
    writeFileSync(draft, text, { mode, flag: 'wx' })
    renameSync(draft, file)
  } catch (cause) {
    if (!isTaken(cause)) rmSync(draft, { force: true })
    throw new PosternError('ERR_FILE_UNREADABLE', `cannot write ${file}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

/** Somebody else is writing the draft: it is not ours to remove. */
function isTaken(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
}
