import { askedPath } from './ask.ts'
import type { DemoStage } from './demo-stage.ts'

/**
 * Commands for a shell that call the running demo, each below a comment. Keys are read from files, so that none stands on a
 * command line or in a history. `program`: how `postern` is started.
 */
export function commandsToTry(
  { files, port, healthPort }: Pick<DemoStage, 'files' | 'port' | 'healthPort'>,
  program: readonly string[],
): string[] {
  const url = `https://127.0.0.1:${port}${askedPath}`
  const certificate = (name: string) => {
    const path = quote(`${files.certificates}/${name}`)
    return `--cert ${path}.pem --key ${path}-key.pem`
  }
  const roots = quote(`${files.certificates}/corp.example-bundle.pem`)
  const key = `-H @${quote(files.keyField('good'))}`
  return [
    '# -k: curl knows a server by its DNS name, and an SVID holds a SPIFFE ID; openssl below verifies the chain',
    '',
    '# a workload of our own trust domain',
    `curl -sk ${certificate('corp.example')} ${url}`,
    '# a workload of a federated trust domain',
    `curl -sk ${certificate('partner-a.example')} ${url}`,
    '# a partner with a CA of its own',
    `curl -sk ${certificate('partner-b')} ${url}`,
    '# a customer with an API key',
    `curl -sk ${key} ${url}`,
    '# nobody',
    `curl -sk ${url}`,
    '# a bad certificate with a good key',
    `curl -sk ${certificate('forged')} ${key} ${url}`,
    '# and why it got that answer',
    [
      ...program.map(quote),
      ...['explain', '--config', quote(files.config), '--path', askedPath],
      ...[
        '--cert',
        `${quote(`${files.certificates}/forged`)}.pem`,
        '--bundle',
        `corp.example=${roots}`,
      ],
    ].join(' '),
    '# what the sidecar shows of itself',
    `openssl s_client -connect 127.0.0.1:${port} -CAfile ${roots} -verify_return_error -brief </dev/null`,
    '# what it counted',
    `curl -s http://127.0.0.1:${healthPort}/metrics`,
  ]
}

/** For a POSIX shell. */
function quote(text: string): string {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
