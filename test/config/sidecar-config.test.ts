import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import type { Environment } from '../../src/config/environment.ts'
import { listSettings } from '../../src/config/settings.ts'
import { parseSidecarConfig } from '../../src/config/sidecar-config.ts'
import { IpAddress } from '../../src/core/ip-address.ts'
import { CidrSet, parseCidr } from '../../src/policy/cidr-set.ts'
import { placesOf, problemsOf } from './support/problems.ts'

const file = '/etc/postern/postern.yaml'

function parse(text: string, env: Environment = {}) {
  return parseSidecarConfig(text, file, env)
}

const places = (text: string, env: Environment = {}) => placesOf(() => parse(text, env))

function ip(text: string): IpAddress {
  const address = IpAddress.parse(text)
  assert.ok(address, text)
  return address
}

describe('parseSidecarConfig', () => {
  it('has a default for every setting', () => {
    assert.deepEqual(parse(''), {
      identity: {
        kind: 'workload-api',
        address: 'unix:///run/spire/sockets/agent.sock',
        hint: undefined,
      },
      inbound: {
        listen: { kind: 'tcp', host: '0.0.0.0', port: 8_443 },
        upstream: { kind: 'tcp', host: '127.0.0.1', port: 8_080 },
        allowRemoteUpstream: false,
        protocol: 'http',
        upstreamProtocol: 'auto',
        plaintext: 'refuse',
        untrustedCertificate: 'refuse',
        apiKeyHeader: 'x-api-key',
        forwardClientCert: false,
        addresses: undefined,
        balancers: undefined,
        limits: {
          maxConnections: 10_000,
          maxConnectionsPerAddress: 1_000,
          maxHandshakes: 1_000,
          maxHeaderBytes: 16_384,
          maxHeaderFields: 128,
          maxBodyBytes: Infinity,
          handshakeTimeoutMs: 10_000,
          headerTimeoutMs: 10_000,
          bodyTimeoutMs: 60_000,
          idleTimeoutMs: 300_000,
          upstreamConnectTimeoutMs: 5_000,
          upstreamResponseTimeoutMs: 60_000,
          maxUpstreamConnections: 4_096,
          maxUpstreamQueue: 1_024,
          upstreamQueueTimeoutMs: 1_000,
          maxConcurrentStreams: 100,
        },
      },
      outbound: [],
      products: '/etc/postern/products.yaml',
      apiKeys: undefined,
      health: { listen: { kind: 'tcp', host: '0.0.0.0', port: 9_902 } },
      admin: { listen: { kind: 'tcp', host: '127.0.0.1', port: 9_901 } },
      audit: { file: '-', required: false },
      state: { directory: undefined },
      drain: { delayMs: 0, timeoutMs: 25_000 },
    })
  })

  it('reads every setting', () => {
    const config = parse(`
identity: { workloadApi: "tcp://127.0.0.1:8081", hint: internal }
inbound:
  listen: "[::]:443"
  upstream: unix:/run/app.sock
  protocol: tcp
  upstreamProtocol: h2c
  plaintext: allow
  untrustedCertificate: ignore
  apiKeyHeader: api-key
  forwardClientCert: true
  addresses: { allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.9.0.0/16] }
  proxyProtocol: { from: [192.0.2.1] }
  limits:
    maxConnections: 5
    maxConnectionsPerAddress: 4
    maxHandshakes: 3
    maxHeaderBytes: 32KiB
    maxHeaderFields: 64
    maxBodyBytes: 10MiB
    handshakeTimeout: 1s
    headerTimeout: 2s
    bodyTimeout: 2500ms
    idleTimeout: 3s
    upstreamConnectTimeout: 250ms
    upstreamResponseTimeout: none
    maxUpstreamConnections: 6
    maxUpstreamQueue: 0
    upstreamQueueTimeout: 1500ms
    maxConcurrentStreams: 7
outbound:
  - { listen: 127.0.0.1:9001, upstream: billing.corp.example:8443, expect: spiffe://corp.example/billing }
products: maps/products.yaml
apiKeys: /var/keys.yaml
health: { listen: 0.0.0.0:1 }
admin: { listen: 127.0.0.1:2 }
audit: { file: audit.log, required: true }
state: { directory: state }
drain: { delay: 5s, timeout: 1m }
`)
    const { addresses, balancers } = config.inbound
    assert.equal(addresses?.allow?.find(ip('10.9.0.1')), '10.0.0.0/8')
    assert.equal(addresses.deny?.find(ip('10.9.0.1')), '10.9.0.0/16')
    assert.equal(balancers?.find(ip('192.0.2.1')), '192.0.2.1/32')
    assert.deepEqual(config, {
      identity: { kind: 'workload-api', address: 'tcp://127.0.0.1:8081', hint: 'internal' },
      inbound: {
        listen: { kind: 'tcp', host: '::', port: 443 },
        upstream: { kind: 'unix', path: '/run/app.sock' },
        allowRemoteUpstream: false,
        protocol: 'tcp',
        upstreamProtocol: 'h2c',
        plaintext: 'allow',
        untrustedCertificate: 'ignore',
        apiKeyHeader: 'api-key',
        forwardClientCert: true,
        addresses: {
          allow: new CidrSet([parseCidr('10.0.0.0/8'), parseCidr('2001:db8::/32')]),
          deny: new CidrSet([parseCidr('10.9.0.0/16')]),
        },
        balancers: new CidrSet([parseCidr('192.0.2.1/32')]),
        limits: {
          maxConnections: 5,
          maxConnectionsPerAddress: 4,
          maxHandshakes: 3,
          maxHeaderBytes: 32_768,
          maxHeaderFields: 64,
          maxBodyBytes: 10_485_760,
          handshakeTimeoutMs: 1_000,
          headerTimeoutMs: 2_000,
          bodyTimeoutMs: 2_500,
          idleTimeoutMs: 3_000,
          upstreamConnectTimeoutMs: 250,
          upstreamResponseTimeoutMs: Infinity,
          maxUpstreamConnections: 6,
          maxUpstreamQueue: 0,
          upstreamQueueTimeoutMs: 1_500,
          maxConcurrentStreams: 7,
        },
      },
      outbound: [
        {
          listen: { kind: 'tcp', host: '127.0.0.1', port: 9_001 },
          upstream: { kind: 'tcp', host: 'billing.corp.example', port: 8_443 },
          expect: 'spiffe://corp.example/billing',
          protocol: 'http',
          limits: {
            maxConnections: 1_000,
            maxHeaderBytes: 16_384,
            maxHeaderFields: 128,
            handshakeTimeoutMs: 10_000,
            headerTimeoutMs: 10_000,
            idleTimeoutMs: 300_000,
            upstreamConnectTimeoutMs: 5_000,
            upstreamResponseTimeoutMs: 60_000,
            maxConcurrentStreams: 100,
          },
        },
      ],
      products: '/etc/postern/maps/products.yaml',
      apiKeys: '/var/keys.yaml',
      health: { listen: { kind: 'tcp', host: '0.0.0.0', port: 1 } },
      admin: { listen: { kind: 'tcp', host: '127.0.0.1', port: 2 } },
      audit: { file: '/etc/postern/audit.log', required: true },
      state: { directory: '/etc/postern/state' },
      drain: { delayMs: 5_000, timeoutMs: 60_000 },
    })
  })

  it('says what is wrong with a range of addresses, and where', () => {
    const problems = problemsOf(() =>
      parse(`inbound:
  addresses: { allow: [10.0.0.1/8, nowhere], deny: [] }
  proxyProtocol: { from: ["::ffff:10.0.0.0/8"] }
`),
    )
    assert.deepEqual(
      problems.map(({ where, path }) => `${where} ${path}`),
      [
        `${file}:2:24 inbound.addresses.allow[0]`,
        `${file}:2:36 inbound.addresses.allow[1]`,
        `${file}:2:52 inbound.addresses.deny`,
        `${file}:3:27 inbound.proxyProtocol.from[0]`,
      ],
    )
    assert.match(problems[0]?.message ?? '', /expected 10\.0\.0\.0\/8/)
  })

  it('takes an identity from files', () => {
    const { identity } = parse(
      'identity: { files: { certificate: c.pem, key: /k.pem, bundles: { corp.example: roots.pem } } }',
    )
    assert.deepEqual(identity, {
      kind: 'files',
      certificate: '/etc/postern/c.pem',
      key: '/k.pem',
      bundles: new Map([['corp.example', '/etc/postern/roots.pem']]),
    })
  })

  describe('finds the Workload API', () => {
    const socket = 'unix:///run/from-environment.sock'
    const cases: readonly (readonly [string, string, Environment, string])[] = [
      ['in SPIFFE_ENDPOINT_SOCKET', '', { SPIFFE_ENDPOINT_SOCKET: socket }, socket],
      [
        'in the file before SPIFFE_ENDPOINT_SOCKET',
        'identity: { workloadApi: "unix:///a" }',
        { SPIFFE_ENDPOINT_SOCKET: socket },
        'unix:///a',
      ],
      [
        'in POSTERN_IDENTITY_WORKLOAD_API before the file',
        'identity: { workloadApi: "unix:///a" }',
        { POSTERN_IDENTITY_WORKLOAD_API: 'unix:///b' },
        'unix:///b',
      ],
    ]
    for (const [name, text, env, address] of cases) {
      it(name, () => {
        const { identity } = parse(text, env)
        assert.equal(identity.kind === 'workload-api' ? identity.address : undefined, address)
      })
    }
  })

  describe('refuses', () => {
    const cases: readonly (readonly [name: string, text: string, place: string])[] = [
      ['an unknown key', 'inbound:\n  lisen: 0.0.0.0:1', '2:3 inbound.lisen'],
      ['an unknown section', 'inbund: {}', '1:1 inbund'],
      ['a number for a duration', 'drain: { delay: 5 }', '1:17 drain.delay'],
      [
        'a text for a number',
        'inbound: { limits: { maxConnections: "5" } }',
        '1:38 inbound.limits.maxConnections',
      ],
      [
        'a fraction',
        'inbound: { limits: { maxConnections: 1.5 } }',
        '1:38 inbound.limits.maxConnections',
      ],
      [
        'a number below its range',
        'inbound: { limits: { maxConnections: 0 } }',
        '1:38 inbound.limits.maxConnections',
      ],
      [
        'a number above its range',
        'inbound: { limits: { maxConnections: 1000001 } }',
        '1:38 inbound.limits.maxConnections',
      ],
      ['a text for true', 'inbound: { forwardClientCert: yes }', '1:31 inbound.forwardClientCert'],
      ['a choice that is none', 'inbound: { protocol: https }', '1:22 inbound.protocol'],
      ['an empty section', 'inbound:', '1:9 inbound'],
      ['a list for a map', 'inbound: []', '1:10 inbound'],
      ['a map for a list', 'outbound: {}', '1:11 outbound'],
      ['a list for the file', '- a', '1:1'],
      [
        'an outbound entry without its peer',
        'outbound: [{ listen: 127.0.0.1:1, upstream: a:1 }]',
        '1:12 outbound[0].expect',
      ],
      [
        'an unknown protocol of an outbound entry',
        'outbound: [{ listen: 127.0.0.1:1, upstream: a:1, expect: a, protocol: udp }]',
        '1:71 outbound[0].protocol',
      ],
      [
        'an outbound limit that no call could keep',
        'outbound: [{ listen: 127.0.0.1:1, upstream: a:1, expect: a, limits: { handshakeTimeout: 0s } }]',
        '1:89 outbound[0].limits.handshakeTimeout',
      ],
      [
        'an outbound listener that others reach',
        'outbound: [{ listen: 0.0.0.0:1, upstream: a:1, expect: a }]',
        '1:22 outbound[0].listen',
      ],
      ['an admin address that others reach', 'admin: { listen: 0.0.0.0:1 }', '1:18 admin.listen'],
      [
        'an admin address that is switched off by another word',
        'admin: { listen: off }',
        '1:18 admin.listen',
      ],
      [
        'a workload on another machine',
        'inbound: { upstream: 10.0.0.1:80 }',
        '1:22 inbound.upstream',
      ],
      [
        'an agent beside files',
        'identity: { workloadApi: "unix:///a", files: { certificate: a, key: b, bundles: {} } }',
        '1:46 identity.files',
      ],
      [
        'a bundle of no trust domain',
        'identity: { files: { certificate: a, key: b, bundles: { A: c } } }',
        '1:57 identity.files.bundles.A',
      ],
      [
        'one address for two listeners',
        'inbound: { listen: 0.0.0.0:1 }\nhealth: { listen: 127.0.0.1:1 }',
        '2:19 health.listen',
      ],
      ['the address of a default', 'inbound: { listen: 0.0.0.0:9901 }', '1:20 inbound.listen'],
      [
        'itself as the workload',
        'inbound: { listen: 0.0.0.0:1, upstream: 127.0.0.1:1 }',
        '1:41 inbound.upstream',
      ],
    ]
    for (const [name, text, place] of cases) {
      it(name, () => {
        const expected =
          place.startsWith('1:1') && !place.includes(' ') ? `${file}:1:1` : `${file}:${place}`
        assert.deepEqual(places(text), [expected])
      })
    }

    it('a reserved header for API keys', () => {
      assert.deepEqual(places('inbound: { apiKeyHeader: host }'), [
        `${file}:1:26 inbound.apiKeyHeader`,
      ])
    })
  })

  it('lets a remote workload be, when it is allowed', () => {
    const text = 'inbound: { upstream: 10.0.0.1:80, allowRemoteUpstream: true }'
    assert.deepEqual(parse(text).inbound.upstream, { kind: 'tcp', host: '10.0.0.1', port: 80 })
  })

  it('lets any number of listeners take port 0', () => {
    const text = 'inbound: { listen: 127.0.0.1:0 }\nhealth: { listen: 127.0.0.1:0 }'
    assert.equal(parse(text).health.listen.port, 0)
  })

  it('tells all problems at once, those between settings too, in the order of the file', () => {
    const text = `inbound:
  upstream: 10.0.0.1:80
  protocol: https
admin: { listen: 0.0.0.0:1 }
drain: { timeout: long }
`
    assert.deepEqual(places(text), [
      `${file}:2:13 inbound.upstream`,
      `${file}:3:13 inbound.protocol`,
      `${file}:4:18 admin.listen`,
      `${file}:5:19 drain.timeout`,
    ])
  })

  it('suggests the key that was probably meant', () => {
    const [problem] = problemsOf(() => parse('inbound: { lisen: 0.0.0.0:1 }'))
    assert.match(problem?.message ?? '', /did you mean listen$/)
  })
})

describe('the environment', () => {
  it('has a variable for each scalar setting, by one rule', () => {
    const variables = new Map(listSettings().map(({ path, variable }) => [path, variable]))
    assert.equal(variables.get('inbound.listen'), 'POSTERN_INBOUND_LISTEN')
    assert.equal(variables.get('apiKeys'), 'POSTERN_API_KEYS')
    assert.equal(
      variables.get('inbound.limits.maxHeaderBytes'),
      'POSTERN_INBOUND_LIMITS_MAX_HEADER_BYTES',
    )
    assert.equal(new Set(variables.values()).size, variables.size)
    assert.equal(variables.has('outbound'), false)
  })

  it('describes each of them', () => {
    for (const { path, description } of listSettings()) assert.ok(description.length > 5, path)
  })

  it('gives the same config from variables as from a file with the documented defaults', () => {
    const env = Object.fromEntries(
      listSettings().flatMap(({ variable, default: written }) =>
        written === undefined ? [] : [[variable, written]],
      ),
    )
    const here = parseSidecarConfig('', resolve('postern.yaml'), {})
    assert.deepEqual(parseSidecarConfig('', resolve('postern.yaml'), env), here)
  })

  it('wins over the file', () => {
    const { inbound, drain } = parse('inbound: { listen: 0.0.0.0:1, plaintext: refuse }', {
      POSTERN_INBOUND_LISTEN: '0.0.0.0:2',
      POSTERN_INBOUND_FORWARD_CLIENT_CERT: 'true',
      POSTERN_INBOUND_LIMITS_MAX_CONNECTIONS: '17',
      POSTERN_DRAIN_DELAY: '1s',
    })
    assert.equal(inbound.listen.port, 2)
    assert.equal(inbound.forwardClientCert, true)
    assert.equal(inbound.limits.maxConnections, 17)
    assert.equal(drain.delayMs, 1_000)
  })

  it('counts an empty variable as absent', () => {
    assert.equal(parse('', { POSTERN_INBOUND_LISTEN: '' }).inbound.listen.port, 8_443)
  })

  it('finds files from the working directory', () => {
    const config = parse('apiKeys: keys.yaml', { POSTERN_PRODUCTS: 'p.yaml' })
    assert.equal(config.products, resolve('p.yaml'))
    assert.equal(config.apiKeys, '/etc/postern/keys.yaml')
  })

  const bad: Readonly<Record<string, string>> = {
    POSTERN_INBOUND_LISTEN: '8443',
    POSTERN_INBOUND_PLAINTEXT: 'yes',
    POSTERN_INBOUND_FORWARD_CLIENT_CERT: 'True',
    POSTERN_INBOUND_LIMITS_MAX_CONNECTIONS: '1e3',
    POSTERN_ADMIN_LISTEN: '0.0.0.0:9901',
    POSTERN_INBOUND_UPSTREAM: '10.0.0.1:80',
  }
  for (const [variable, value] of Object.entries(bad)) {
    it(`names ${variable} when it is wrong`, () => {
      const setting = listSettings().find((one) => one.variable === variable)
      assert.deepEqual(places('', { [variable]: value }), [`${variable} ${setting?.path ?? ''}`])
    })
  }

  it('refuses a variable that looks like a typing error', () => {
    assert.deepEqual(places('', { POSTERN_INBOUND_LISTNE: 'x' }), ['POSTERN_INBOUND_LISTNE'])
  })

  it('leaves the variables alone that Kubernetes makes for a service named postern', () => {
    const env = {
      POSTERN_SERVICE_HOST: '10.0.0.1',
      POSTERN_SERVICE_PORT: '8443',
      POSTERN_PORT: 'tcp://10.0.0.1:8443',
      POSTERN_PORT_8443_TCP: 'tcp://10.0.0.1:8443',
      POSTERN_ADMIN_SERVICE_HOST: '10.0.0.1',
      POSTERN_ADMIN_PORT: 'tcp://10.0.0.1:9901',
    }
    assert.deepEqual(parse('', env), parse(''))
  })

  it('stands behind a file that is wrong where it would go', () => {
    assert.deepEqual(places('inbound: 5', { POSTERN_INBOUND_LISTEN: '0.0.0.0:1' }), [
      `${file}:1:10 inbound`,
    ])
  })
})
