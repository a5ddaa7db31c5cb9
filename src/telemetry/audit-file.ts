import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { messageOf, PosternError } from '../core/errors.ts'
import type { AppendResult, AuditSink } from './audit-log.ts'

const openFile = promisify(fs.open)
const closeFile = promisify(fs.close)

const { O_APPEND, O_CREAT, O_NONBLOCK, O_WRONLY } = fs.constants

/** Records name callers: the owner and the group that collects them, nobody else. */
const fileMode = 0o640

/** The audit log in a file or on standard output. Writes happen off the event loop's thread. */
export class AuditFile implements AuditSink {
  readonly #path: string
  #fd: number

  private constructor(path: string, fd: number) {
    this.#path = path
    this.#fd = fd
  }

  /** `path`: a file, made when it is not there and appended to, or `-` for standard output. Throws ERR_AUDIT_UNAVAILABLE. */
  static async open(path: string): Promise<AuditFile> {
    return new AuditFile(path, path === '-' ? await openStandardOutput() : await openLog(path))
  }

  async append(bytes: Uint8Array): Promise<AppendResult> {
    let written = 0
    while (written < bytes.length) {
      try {
        written += await writeSome(this.#fd, bytes, written)
      } catch (error) {
        return isFull(error) ? { written } : { written, error }
      }
    }
    return { written }
  }

  async reopen(): Promise<void> {
    if (this.#path === '-') return
    const old = this.#fd
    this.#fd = await openLog(this.#path)
    await closeFile(old)
  }

  async close(): Promise<void> {
    const fd = this.#fd
    this.#fd = closedFd
    if (fd !== closedFd && fd !== standardOutput) await closeFile(fd)
  }
}

const standardOutput = 1
const closedFd = -1

async function openLog(path: string): Promise<number> {
  try {
    // O_NONBLOCK: a named pipe without a reader is an error now instead of a wait without end.
    return await openFile(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, fileMode)
  } catch (cause) {
    throw new PosternError(
      'ERR_AUDIT_UNAVAILABLE',
      `cannot open the audit log: ${messageOf(cause)}`,
      { cause },
    )
  }
}

/**
 * Standard output, opened anew so that it does not block: a write to a full pipe would hold a thread, and Node does not
 * exit before its threads are done. Where it cannot be opened (a socket, or a pipe of another user) it is used as it is.
 */
async function openStandardOutput(): Promise<number> {
  try {
    return await openFile('/dev/stdout', O_WRONLY | O_APPEND | O_NONBLOCK)
  } catch {
    return standardOutput
  }
}

function writeSome(fd: number, bytes: Uint8Array, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, from, bytes.length - from, null, (error, written) => {
      if (error === null) resolve(written)
      else reject(error)
    })
  })
}

/** A pipe whose reader is slow. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
