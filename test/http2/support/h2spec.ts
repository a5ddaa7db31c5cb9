import { spawn } from 'node:child_process'

export interface H2specResult {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** What h2spec printed, for the message of a failure. */
  readonly report: string
}

/** Runs all of h2spec, the strict cases too, against a server on loopback. */
export async function runH2spec(command: string, port: number): Promise<H2specResult> {
  const report = await outputOf(command, ['-S', '-h', '127.0.0.1', '-p', String(port), '-o', '2'])
  const counts = /(\d+) passed, (\d+) skipped, (\d+) failed/.exec(report)
  if (counts === null) throw new Error(`h2spec said no result: ${report.slice(-500)}`)
  const [, passed, skipped, failed] = counts.map(Number)
  return { passed: passed ?? 0, failed: failed ?? 0, skipped: skipped ?? 0, report }
}

function outputOf(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.on('error', reject)
    child.on('close', () => resolve(text))
  })
}
