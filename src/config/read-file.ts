import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { messageOf, PosternError } from '../core/errors.ts'

/**
 * The text of a file, UTF-8. Never waits: a named pipe is refused, as is a directory, and what is larger than `maxBytes`.
 * Throws `PosternError` ERR_FILE_UNREADABLE that names the file and what was expected.
 */
export function readTextFile(file: string, maxBytes: number): string {
  return readFile(file, maxBytes).toString('utf8')
}

/** As `readTextFile`, of a file that may be no text. */
export function readFile(file: string, maxBytes: number): Buffer {
  const fd = open(file)
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw unreadable(file, `it is ${kindOf(stat)}, expected a file`)
    if (stat.size > maxBytes) {
      throw unreadable(file, `it has ${stat.size} bytes, expected at most ${maxBytes}`)
    }
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}

function open(file: string): number {
  try {
    // O_NONBLOCK: a named pipe without a writer would hold the process.
    return openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unreadable(file, messageOf(cause), cause)
  }
}

function unreadable(file: string, why: string, cause?: unknown): PosternError {
  return new PosternError('ERR_FILE_UNREADABLE', `cannot read ${file}: ${why}`, { cause })
}

function kindOf(stat: { isDirectory(): boolean; isFIFO(): boolean; isSocket(): boolean }): string {
  if (stat.isDirectory()) return 'a directory'
  if (stat.isFIFO()) return 'a named pipe'
  return stat.isSocket() ? 'a socket' : 'a device'
}
