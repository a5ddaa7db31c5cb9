import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CallerIdentity, type HttpVersion, type Reply, toReply } from './caller.ts'

export interface ProgramResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ProgramOptions {
  /** Written to its stdin, which is then ended. */
  readonly input?: string
  /** Default 30 s; then it is killed and its code is 137. */
  readonly timeoutMs?: number
  /** Where it runs. Default: here. */
  readonly cwd?: string
  /** Beside what is inherited. */
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a program of this machine to its end. Rejects when there is no such program. */
export function runProgram(
  command: string,
  args: readonly string[],
  { input = '', timeoutMs = 30_000, cwd, env }: ProgramOptions = {},
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      cwd,
      env: { ...process.env, ...env },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')))
    child.stdin.on('error', () => undefined)
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 137, stdout, stderr }))
    child.stdin.end(input)
  })
}

/** Whether a program is on PATH and starts. */
export async function hasProgram(command: string, ...args: readonly string[]): Promise<boolean> {
  return runProgram(command, args).then(
    ({ code }) => code === 0,
    () => false,
  )
}

/** An identity as the files that other programs take. */
export interface IdentityFiles {
  readonly certificate: string
  readonly key: string
}

export async function writeIdentity(
  directory: string,
  name: string,
  identity: CallerIdentity,
): Promise<IdentityFiles> {
  const certificate = join(directory, `${name}.pem`)
  const key = join(directory, `${name}-key.pem`)
  await writeFile(certificate, identity.certificatePem)
  await writeFile(key, identity.privateKeyPem, { mode: 0o600 })
  return { certificate, key }
}

export interface ProgramCall {
  readonly port: number
  readonly version: HttpVersion
  readonly identity?: IdentityFiles
  readonly headers?: Readonly<Record<string, string>>
  readonly path?: string
}

/** One request of curl. */
export async function curl(call: ProgramCall): Promise<Reply> {
  const { port, version, identity, headers = {}, path = '/' } = call
  const { code, stdout, stderr } = await runProgram('curl', [
    '--silent',
    '--show-error',
    '--insecure',
    '--include',
    '--max-time',
    '25',
    version === 'h2' ? '--http2' : '--http1.1',
    ...(identity === undefined ? [] : ['--cert', identity.certificate, '--key', identity.key]),
    ...Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]),
    `https://127.0.0.1:${port}${path}`,
  ])
  if (code !== 0) throw new Error(`curl: ${code}: ${stderr}`)
  return parseCurl(stdout, version)
}

function parseCurl(output: string, version: HttpVersion): Reply {
  const end = output.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = output.slice(0, end).split('\r\n')
  const expected = version === 'h2' ? 'HTTP/2 ' : 'HTTP/1.1 '
  if (!statusLine.startsWith(expected)) throw new Error(`curl got ${statusLine}, not ${version}`)
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  const status = Number(statusLine.split(' ')[1])
  return toReply(status, Object.fromEntries(headers), output.slice(end + 4))
}

const pythonCaller = `
import http.client, json, ssl, sys
call = json.load(sys.stdin)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if call.get("identity"):
    context.load_cert_chain(call["identity"]["certificate"], call["identity"]["key"])
connection = http.client.HTTPSConnection("127.0.0.1", call["port"], context=context, timeout=25)
connection.request("GET", call.get("path", "/"), headers=call.get("headers", {}))
reply = connection.getresponse()
json.dump({"status": reply.status, "headers": {k.lower(): v for k, v in reply.getheaders()},
           "text": reply.read().decode()}, sys.stdout)
`

/** One request of Python's own TLS and HTTP, which know HTTP/1.1 only and offer no ALPN. */
export async function python(call: Omit<ProgramCall, 'version'>): Promise<Reply> {
  const { code, stdout, stderr } = await runProgram('python3', ['-c', pythonCaller], {
    input: JSON.stringify(call),
  })
  if (code !== 0) throw new Error(`python3: ${code}: ${stderr}`)
  const { status, headers, text } = JSON.parse(stdout) as Reply
  return toReply(status, headers, text)
}
