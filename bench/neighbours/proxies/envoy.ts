import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serverId, trustDomain } from '../credentials.ts'
import { versionOf } from '../find-program.ts'
import type { Proxy, ProxySetup } from './proxy.ts'

type Json = Readonly<Record<string, unknown>>

export const envoy: Proxy = {
  name: 'envoy',
  configured:
    'optional client certificate, RBAC by SPIFFE prefix or key header, SANITIZE_SET x-forwarded-client-cert, file access log, resumption off, one worker (--concurrency 1)',
  find: () => versionOf('envoy', ['--version'], /version: \w+\/(\S+?)\//),
  cannot: () => undefined,
  async prepare(command, setup) {
    const file = join(setup.directory, 'envoy.json')
    await writeFile(file, JSON.stringify(configuration(setup)))
    const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warning']
    return { command, args, logFile: join(setup.directory, 'envoy.log') }
  },
}

function configuration(setup: ProxySetup): Json {
  const { mode, port } = setup
  const isTls = mode !== 'outbound'
  return {
    static_resources: {
      listeners: [
        {
          name: 'callers',
          address: address(port),
          filter_chains: [
            {
              filters: [mode === 'tcp' ? tcpFilter(setup) : httpFilter(setup)],
              ...(isTls ? { transport_socket: downstreamTls(setup) } : {}),
            },
          ],
        },
      ],
      clusters: [cluster(setup)],
    },
  }
}

function address(port: number): Json {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

function httpFilter(setup: ProxySetup): Json {
  const isInbound = setup.mode !== 'outbound'
  return typed(
    'envoy.filters.network.http_connection_manager',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    {
      stat_prefix: 'callers',
      codec_type: 'AUTO',
      access_log: accessLog(setup),
      ...(isInbound
        ? {
            forward_client_cert_details: 'SANITIZE_SET',
            set_current_client_cert_details: { uri: true, subject: true },
          }
        : {}),
      ...(setup.mode === 'websocket' ? { upgrade_configs: [{ upgrade_type: 'websocket' }] } : {}),
      http_filters: [
        ...(isInbound ? [rbac(setup)] : []),
        typed('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {}),
      ],
      route_config: {
        virtual_hosts: [
          {
            name: 'workload',
            domains: ['*'],
            routes: [
              {
                match: { prefix: '/' },
                route: { cluster: 'workload', timeout: '60s' },
                request_headers_to_remove: ['x-api-key'],
              },
            ],
          },
        ],
      },
    },
  )
}

function rbac({ credentials }: ProxySetup): Json {
  const header = { name: 'x-api-key', string_match: { exact: credentials.apiKey } }
  const principalName = { prefix: `spiffe://${trustDomain}/` }
  return typed('envoy.filters.http.rbac', 'envoy.extensions.filters.http.rbac.v3.RBAC', {
    rules: {
      action: 'ALLOW',
      policies: {
        certificate: {
          permissions: [{ any: true }],
          principals: [{ authenticated: { principal_name: principalName } }],
        },
        key: { permissions: [{ header }], principals: [{ any: true }] },
      },
    },
  })
}

function tcpFilter(setup: ProxySetup): Json {
  return typed(
    'envoy.filters.network.tcp_proxy',
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
    { stat_prefix: 'callers', cluster: 'workload', access_log: accessLog(setup) },
  )
}

function accessLog({ directory }: ProxySetup): Json[] {
  return [
    typed('envoy.access_loggers.file', 'envoy.extensions.access_loggers.file.v3.FileAccessLog', {
      path: join(directory, 'envoy-access.log'),
    }),
  ]
}

function downstreamTls({ credentials, mode }: ProxySetup): Json {
  return typed(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    {
      require_client_certificate: false,
      disable_stateless_session_resumption: true,
      disable_stateful_session_resumption: true,
      common_tls_context: {
        ...(mode === 'tcp' ? {} : { alpn_protocols: ['h2', 'http/1.1'] }),
        tls_certificates: [pair(credentials.serverCertificate, credentials.serverKey)],
        validation_context: { trusted_ca: { filename: credentials.ca } },
      },
    },
  )
}

function cluster(setup: ProxySetup): Json {
  const { mode, upstreamPort } = setup
  return {
    name: 'workload',
    type: 'STATIC',
    connect_timeout: '5s',
    load_assignment: {
      cluster_name: 'workload',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
    },
    ...(mode === 'h2c' ? { typed_extension_protocol_options: http2Only } : {}),
    ...(mode === 'outbound' ? { transport_socket: upstreamTls(setup) } : {}),
  }
}

const http2Only = {
  'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
    '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
    explicit_http_config: { http2_protocol_options: {} },
  },
}

function upstreamTls({ credentials }: ProxySetup): Json {
  const names = [{ san_type: 'URI', matcher: { exact: serverId } }]
  return typed(
    'envoy.transport_sockets.tls',
    'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    {
      max_session_keys: 0,
      common_tls_context: {
        tls_certificates: [pair(credentials.clientCertificate, credentials.clientKey)],
        validation_context: {
          trusted_ca: { filename: credentials.ca },
          match_typed_subject_alt_names: names,
        },
      },
    },
  )
}

function pair(certificate: string, key: string): Json {
  return { certificate_chain: { filename: certificate }, private_key: { filename: key } }
}

function typed(name: string, type: string, config: Json): Json {
  return { name, typed_config: { '@type': `type.googleapis.com/${type}`, ...config } }
}
