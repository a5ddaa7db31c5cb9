import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that kernels give out by themselves (from 32768 on Linux, from 49152 elsewhere): a connection that somebody
 * opens between our look and the other's bind cannot take one of these.
 */
const lowest = 20_000
const highest = 32_000
const mostLooks = 100

const given = new Set<number>()

/** A port of loopback that nobody listens on, and that is not given out again; for programs that cannot choose one themselves. */
export async function freePort(): Promise<number> {
  for (let look = 0; look < mostLooks; look++) {
    const port = randomInt(lowest, highest)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`no free port among ${mostLooks} from ${lowest} to ${highest}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}
