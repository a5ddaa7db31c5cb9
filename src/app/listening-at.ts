import { PosternError } from '../core/errors.ts'

/**
 * Waits for a port to be bound. When it cannot be, the error names the setting that the address comes from, for several sidecars
 * of one network namespace have the same defaults. `otherwise`: what may be done instead of another address. Throws
 * `PosternError` ERR_LISTEN_FAILED.
 */
export async function listeningAt<Listener>(
  setting: string,
  listening: Promise<Listener>,
  otherwise = '',
): Promise<Listener> {
  try {
    return await listening
  } catch (error) {
    if (!(error instanceof PosternError) || error.code !== 'ERR_LISTEN_FAILED') throw error
    const { cause } = error
    const why = cause instanceof Error && 'code' in cause ? (reasons[String(cause.code)] ?? '') : ''
    const hint = `${why}expected a free address of this machine in ${setting}${otherwise}`
    throw new PosternError('ERR_LISTEN_FAILED', `${error.message}; ${hint}`, { cause })
  }
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process, perhaps another sidecar, has it: ',
}
