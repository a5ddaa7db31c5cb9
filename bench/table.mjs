/**
 * The benchmarks that `npm run bench -- NAME ...` knows; a new one is a file of this folder and a row here.
 *
 * - `file`: a program, run by tsx with what stands behind `--`
 * - `options`: what it takes there, each with its default
 * - `isDefault`: it runs when none is named
 * - `needsBuild`: it runs dist/, which is built first when it is missing or old
 * - `needsTools`: it runs what scripts/lib/bench-tool-table.mjs lists, which is installed first
 */
export const benchmarks = [
  {
    name: 'attacks',
    file: 'attacks.ts',
    options: '[seconds of each=5] [connections=1] [ATTACK ...]',
    needsBuild: true,
    measures: 'what floods cost another caller',
  },
  {
    name: 'connections',
    file: 'connections.ts',
    options: '[requests per second=500]',
    needsBuild: true,
    needsTools: true,
    measures:
      'what a request costs beside 1, 100, 1,000 and 10,000 connections; Linux with two CPUs',
  },
  {
    name: 'decide',
    file: 'decide.ts',
    measures: 'one decision, with 10 and 10,000 products, 10 and 1,000,000 keys',
  },
  {
    name: 'epochs',
    file: 'epochs.ts',
    options: '[connections=10000] [certificates=1000]',
    needsBuild: true,
    measures:
      'pauses of the event loop while live connections are judged again, memory of idle ones',
  },
  {
    name: 'http1-codec',
    file: 'http1-codec.ts',
    measures: 'parsing and writing heads and bodies of HTTP/1.1',
  },
  {
    name: 'http1-proxy',
    file: 'http1-proxy.ts',
    options: '[seconds=5] [connections=32]',
    measures: 'one HTTP/1.1 request through both ends; Linux with two CPUs',
  },
  {
    name: 'http2-codec',
    file: 'http2-codec.ts',
    measures: 'parsing and writing frames and header blocks of HTTP/2',
  },
  {
    name: 'http2-proxy',
    file: 'http2-proxy.ts',
    options: '[seconds=5] [options of h2load ...]',
    measures: 'one HTTP/2 request through both ends; Linux with two CPUs',
  },
  {
    name: 'neighbours',
    file: 'neighbours.ts',
    options: '[--only SCENARIO,...] [--rounds 3] [--seconds 3] [--json] [compare COMMIT COMMIT]',
    isDefault: true,
    needsBuild: true,
    needsTools: true,
    measures: 'Postern beside Envoy, nginx and HAProxy; Linux with two CPUs',
  },
  {
    name: 'profile',
    file: 'profile.ts',
    options: '[SCENARIO=http1-svid] [--seconds 8] [--write]',
    needsBuild: true,
    needsTools: true,
    measures: 'which functions of the sidecar take the time, in a scenario of neighbours',
  },
  {
    name: 'records',
    file: 'records.ts',
    measures: 'span, audit line and metrics of one request, and a scrape',
  },
  {
    name: 'replay',
    file: 'replay.ts',
    needsBuild: true,
    measures: 'seconds and memory of deciding 100,000 and 1,000,000 lines of an audit log again',
  },
  {
    name: 'revocation',
    file: 'revocation.ts',
    options: '[entries=100000]',
    needsBuild: true,
    measures: 'pauses of the event loop and memory while large revocation lists are renewed',
  },
  {
    name: 'rotation',
    file: 'rotation.ts',
    options: '[rotations=10000]',
    needsBuild: true,
    measures: 'failed handshakes and requests, and memory, while SVIDs rotate under load',
  },
  {
    name: 'soak',
    file: 'soak.ts',
    options: '[--minutes 30]',
    needsBuild: true,
    measures: 'memory, handles and failed requests over a long time at half load',
  },
  {
    name: 'start',
    file: 'start.ts',
    options: '[runs=15]',
    needsBuild: true,
    measures: 'time, CPU time and memory from the start of the process until it is ready; Linux',
  },
  {
    name: 'validation',
    file: 'validation.ts',
    measures:
      'judging certificates cold, in a new epoch and from the cache; reading the files anew',
  },
]
