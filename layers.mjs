/**
 * The layers of src/, lowest first (DESIGN.md 3). A folder imports only folders of lower rows, never a sibling in its row.
 * `pure` rows hold no sockets, files, timers or clock reads. ESLint's import rules are generated from this array.
 */
export const layers = [
  { row: 1, pure: true, folders: ['core'] },
  { row: 2, pure: true, folders: ['x509', 'http1', 'http2', 'proxy-protocol'] },
  { row: 3, pure: true, folders: ['spiffe'] },
  { row: 4, pure: true, folders: ['policy'] },
  {
    row: 5,
    pure: false,
    folders: ['config', 'workload-api', 'tls', 'proxy', 'http-endpoint', 'telemetry'],
  },
  { row: 6, pure: false, folders: ['inbound', 'outbound', 'admin', 'injector'] },
  { row: 7, pure: false, folders: ['app', 'dev'] },
  { row: 8, pure: false, folders: ['bin'] },
]

/** Modules of Node that a pure row may not import. */
export const impureModules = [
  'net',
  'tls',
  'http',
  'https',
  'http2',
  'fs',
  'fs/promises',
  'child_process',
  'process',
  'timers',
  'timers/promises',
  'worker_threads',
  'dgram',
  'dns',
]
