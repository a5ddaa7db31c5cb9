import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { versionOf } from '../find-program.ts'
import { serverName } from '../credentials.ts'
import type { ProxyMode } from '../scenario.ts'
import type { Proxy, ProxySetup } from './proxy.ts'

const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so'

export const nginx: Proxy = {
  name: 'nginx',
  configured:
    'ssl_verify_client optional, map of verification and key to allow or 401, certificate subject as a header, upstream keep-alive, buffered access log, no session cache and no tickets',
  find: () => versionOf('nginx', ['-v'], /nginx\/(\S+)/),
  cannot: (mode) =>
    mode === 'tcp' && !existsSync(streamModule) ? `needs ${streamModule}` : undefined,
  async prepare(command, setup) {
    const file = join(setup.directory, 'nginx.conf')
    await writeFile(file, configuration(setup))
    const logFile = join(setup.directory, 'nginx.log')
    return { command, args: ['-p', setup.directory, '-c', file, '-e', 'stderr'], logFile }
  },
}

function configuration(setup: ProxySetup): string {
  return `
${setup.mode === 'tcp' ? `load_module ${streamModule};` : ''}
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
events { worker_connections 20000; }
${setup.mode === 'tcp' ? stream(setup) : http(setup)}
`
}

function http(setup: ProxySetup): string {
  return `
http {
  access_log ${setup.directory}/nginx-access.log combined buffer=64k flush=1s;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 100000000;
  map_hash_bucket_size 256;
  client_max_body_size 0;
  proxy_request_buffering off;
  proxy_http_version 1.1;
  ${upstream(setup, 'keepalive 256; keepalive_requests 100000000;')}
  ${setup.mode === 'outbound' ? outbound(setup) : inbound(setup)}
}`
}

function stream(setup: ProxySetup): string {
  return `
stream {
  log_format short '$remote_addr [$time_local] $status $bytes_sent $bytes_received $ssl_client_s_dn';
  access_log ${setup.directory}/nginx-access.log short buffer=64k flush=1s;
  ${upstream(setup, '')}
  server {
    listen 127.0.0.1:${setup.port} ssl;
    ${tls(setup)}
    proxy_pass workload;
  }
}`
}

function upstream({ upstreamPort }: ProxySetup, more: string): string {
  return `upstream workload { server 127.0.0.1:${upstreamPort}; ${more} }`
}

function tls({ credentials }: ProxySetup): string {
  return `
    ssl_certificate ${credentials.serverCertificate};
    ssl_certificate_key ${credentials.serverKey};
    ssl_client_certificate ${credentials.ca};
    ssl_verify_client optional;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off; ssl_conf_command NumTickets 0;`
}

function inbound(setup: ProxySetup): string {
  const { port, credentials, mode } = setup
  return `
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  map "$ssl_client_verify:$http_x_api_key" $denied {
    default 1;
    "~^SUCCESS:" 0;
    "NONE:${credentials.apiKey}" 0;
  }
  server {
    listen 127.0.0.1:${port} ssl http2;
    ${tls(setup)}
    location / {
      if ($denied) { return 401; }
      ${mode === 'h2c' ? grpcHeaders : httpHeaders(mode)}
      ${mode === 'h2c' ? 'grpc_pass grpc://workload' : 'proxy_pass http://workload'};
    }
  }`
}

const grpcHeaders = `
      grpc_set_header x-principal $ssl_client_s_dn;
      grpc_set_header x-forwarded-for $remote_addr;
      grpc_set_header x-api-key "";`

function httpHeaders(mode: ProxyMode): string {
  const connection =
    mode === 'websocket'
      ? 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;'
      : 'proxy_set_header Connection "";'
  return `
      proxy_set_header Host $http_host;
      proxy_set_header x-principal $ssl_client_s_dn;
      proxy_set_header x-forwarded-for $remote_addr;
      proxy_set_header x-forwarded-proto https;
      proxy_set_header x-api-key "";
      ${connection}`
}

function outbound({ port, credentials }: ProxySetup): string {
  return `
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_ssl_certificate ${credentials.clientCertificate};
      proxy_ssl_certificate_key ${credentials.clientKey};
      proxy_ssl_trusted_certificate ${credentials.ca};
      proxy_ssl_verify on;
      proxy_ssl_name ${serverName};
      proxy_ssl_session_reuse off;
      proxy_ssl_protocols TLSv1.3;
      proxy_pass https://workload;
    }
  }`
}
