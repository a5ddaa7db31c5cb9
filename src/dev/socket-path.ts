import { lstat, mkdir, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, isAbsolute } from 'node:path'
import { PosternError, messageOf } from '../core/errors.ts'

/**
 * Makes `path` free to listen on: creates its folder (mode 0700) when it is missing and removes a socket that a dead process
 * left. Throws `PosternError` ERR_LISTEN_FAILED when the path is relative, holds anything but a socket, or is served.
 */
export async function freeSocketPath(path: string): Promise<void> {
  if (!isAbsolute(path)) throw failed(path, 'is not absolute')
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw failed(path, `cannot have its folder made: ${messageOf(cause)}`)
  })
  const found = await lstat(path).catch(() => undefined)
  if (found === undefined) return
  if (!found.isSocket()) throw failed(path, 'exists and is no socket')
  if (await isServed(path)) throw failed(path, 'is served by another process')
  await unlink(path)
}

/** Whether somebody accepts connections there; a socket that was left behind refuses. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function failed(path: string, what: string): PosternError {
  return new PosternError('ERR_LISTEN_FAILED', `socket ${JSON.stringify(path)} ${what}`)
}
