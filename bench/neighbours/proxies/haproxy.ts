import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serverName } from '../credentials.ts'
import { versionOf } from '../find-program.ts'
import type { Proxy, ProxySetup } from './proxy.ts'

export const haproxy: Proxy = {
  name: 'haproxy',
  configured:
    'verify optional, acl of verification or key to allow or 403, certificate subject as a header, upstream keep-alive, access log to a file, no session cache and no tickets, one thread',
  find: () => versionOf('haproxy', ['-v'], /version (\S+)/),
  cannot: () => undefined,
  async prepare(command, setup) {
    const file = join(setup.directory, 'haproxy.cfg')
    await writeFile(file, configuration(setup))
    const logFile = join(setup.directory, 'haproxy.log')
    return { command, args: ['-db', '-f', file], logFile }
  },
}

function configuration(setup: ProxySetup): string {
  const { mode } = setup
  return `
global
  nbthread 1
  maxconn 8000
  log stdout format raw local0
  tune.ssl.cachesize 0
  tune.ssl.default-dh-param 2048
defaults
  log global
  mode ${mode === 'tcp' ? 'tcp' : 'http'}
  option ${mode === 'tcp' ? 'tcplog' : 'httplog'}
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 5m
  timeout server 5m
  timeout tunnel 5m
frontend callers
  bind 127.0.0.1:${setup.port}${mode === 'outbound' ? '' : tls(setup)}
${rules(setup)}
  default_backend workload
backend workload
  server one 127.0.0.1:${setup.upstreamPort}${server(setup)}
`
}

function tls({ credentials, mode }: ProxySetup): string {
  const alpn = mode === 'tcp' ? '' : ' alpn h2,http/1.1'
  return (
    ` ssl crt ${credentials.serverPair} ca-file ${credentials.ca} verify optional` +
    ` ssl-min-ver TLSv1.2 no-tls-tickets${alpn}`
  )
}

function rules({ mode, credentials }: ProxySetup): string {
  if (mode === 'outbound') return ''
  if (mode === 'tcp') return '  tcp-request content reject unless { ssl_c_used }'
  return `
  acl has_certificate ssl_c_used
  acl has_key req.hdr(x-api-key) -m str ${credentials.apiKey}
  http-request deny unless has_certificate or has_key
  http-request del-header x-api-key
  http-request set-header x-principal %{+Q}[ssl_c_s_dn]
  http-request set-header x-forwarded-for %[src]
  http-request set-header x-forwarded-proto https`
}

function server({ mode, credentials }: ProxySetup): string {
  if (mode === 'h2c') return ' proto h2'
  if (mode !== 'outbound') return ''
  return (
    ` ssl crt ${credentials.clientPair} ca-file ${credentials.ca} verify required` +
    ` verifyhost ${serverName} no-ssl-reuse`
  )
}
