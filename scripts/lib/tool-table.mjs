import { join } from 'node:path'
import { sourcesDigest } from './sources-digest.mjs'

const spiffePeer = join(import.meta.dirname, '../../test/support/spiffe-peer')

/**
 * The outside tools that tests run against. `version` is exact for what we install into our own cache, and `debian`
 * for what the distribution keeps up to date. `usable` is what the tool has to say about itself to be taken from PATH.
 *
 * - `go`: built by `go install package@version`; the binary is named like the last part of `package`
 * - `go-module`: built from a folder of ours that pins its modules; the version follows what is in it
 * - `kubernetes`: a program of k8s.io/kubernetes, which no `go install` can build, because it names its own parts by version 0
 * - `otel-collector`: built by the collector's own builder from `components`
 * - `debian`: installed for the whole machine by apt-get, which needs root
 * - `debian-unpacked`: only unpacked into the cache, because installing it would start a service
 * - `pypi`: a virtual environment of its own; the command is its Python, which knows the package
 * - `npm`: a folder of its own, without install scripts
 */
export const toolTable = [
  {
    name: 'curl',
    kind: 'debian',
    version: 'debian',
    package: 'curl',
    commands: ['curl'],
    usable: { options: ['--version'], says: /\bHTTP2\b/ },
    whatFor: 'a caller that is not Node: HTTP/1.1 and HTTP/2, client certificates, odd requests',
  },
  {
    name: 'openssl',
    kind: 'debian',
    version: 'debian',
    package: 'openssl',
    commands: ['openssl'],
    usable: { options: ['version'], says: /^OpenSSL [3-9]/ },
    whatFor: 'certificates that no library makes, s_client for handshakes and resumption',
  },
  {
    name: 'python3',
    kind: 'debian',
    version: 'debian',
    package: 'python3',
    commands: ['python3'],
    usable: { options: ['--version'], says: /^Python 3\.(9|\d\d)/ },
    whatFor: 'callers and workloads that are not Node',
  },
  {
    name: 'nghttp2-client',
    kind: 'debian',
    version: 'debian',
    package: 'nghttp2-client',
    commands: ['nghttp', 'h2load'],
    usable: { options: ['--version'], says: /nghttp2\/1\./ },
    whatFor: 'the reference client of HTTP/2, and load',
  },
  {
    name: 'prometheus',
    kind: 'debian-unpacked',
    version: 'debian',
    package: 'prometheus',
    commands: ['promtool', 'prometheus'],
    usable: { options: ['--version'], says: /version [23]\./ },
    whatFor: 'lint of metrics, unit tests of alert rules, a real scrape',
  },
  {
    name: 'shellcheck',
    kind: 'debian',
    version: 'debian',
    package: 'shellcheck',
    commands: ['shellcheck'],
    whatFor: 'lint of our shell scripts',
  },
  {
    name: 'h2spec',
    kind: 'go',
    version: 'v2.2.1+incompatible',
    package: 'github.com/summerwind/h2spec/cmd/h2spec',
    commands: ['h2spec'],
    usable: { options: ['--version'], says: /^Version: 2\./ },
    whatFor: 'conformance with RFC 9113 and RFC 7541',
  },
  {
    name: 'grpc-interop-client',
    kind: 'go',
    version: 'v1.85.0',
    package: 'google.golang.org/grpc/interop/client',
    commands: ['grpc-interop-client'],
    whatFor: 'the official gRPC interoperability cases, calling through us',
  },
  {
    name: 'grpc-interop-server',
    kind: 'go',
    version: 'v1.85.0',
    package: 'google.golang.org/grpc/interop/server',
    commands: ['grpc-interop-server'],
    whatFor: 'the workload of those cases',
  },
  {
    name: 'spiffe-peer',
    kind: 'go-module',
    version: sourcesDigest(spiffePeer),
    folder: spiffePeer,
    commands: ['spiffe-peer'],
    whatFor: 'callers and servers on go-spiffe, with an identity of the Workload API',
  },
  {
    name: 'python-websockets',
    kind: 'pypi',
    version: '17.4',
    package: 'websockets',
    commands: ['python-websockets'],
    usable: { options: ['-m', 'websockets', '--version'], says: /^websockets 1[5-9]\./ },
    whatFor: 'a WebSocket client that is not Node',
  },
  {
    name: 'python-grpcio',
    kind: 'pypi',
    version: '1.85.1',
    package: 'grpcio',
    commands: ['python-grpcio'],
    usable: {
      options: ['-c', 'import grpc; print("grpcio", grpc.__version__)'],
      says: /^grpcio 1\./,
    },
    whatFor: 'a caller on the gRPC of C++, with its own TLS and HTTP/2',
  },
  {
    name: 'step-ca',
    kind: 'go',
    version: 'v0.30.2',
    package: 'github.com/smallstep/certificates/cmd/step-ca',
    commands: ['step-ca'],
    usable: { options: ['version'], says: /^Smallstep CA\// },
    whatFor: 'a CA that nobody here wrote: it issues the identity of the sidecar, and of callers',
  },
  {
    name: 'step',
    kind: 'go',
    version: 'v0.21.0',
    package: 'github.com/smallstep/cli/cmd/step',
    commands: ['step'],
    usable: { options: ['version'], says: /^Smallstep CLI\// },
    whatFor: 'what asks that CA for certificates, renews them and writes them to files',
  },
  {
    name: 'otel-collector',
    kind: 'otel-collector',
    version: 'v0.150.0',
    package: 'go.opentelemetry.io/collector/cmd/builder',
    components: {
      receivers: ['go.opentelemetry.io/collector/receiver/otlpreceiver v0.150.0'],
      exporters: ['go.opentelemetry.io/collector/exporter/debugexporter v0.150.0'],
      providers: ['go.opentelemetry.io/collector/confmap/provider/fileprovider v1.56.0'],
    },
    commands: ['otelcol-postern'],
    usable: { options: ['--help'], says: /^ +otelcol-postern \[flags\]/m },
    whatFor: 'a real receiver of our spans, over HTTP and gRPC',
  },
  {
    name: 'kube-apiserver',
    kind: 'kubernetes',
    version: 'v1.34.1',
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    commands: ['kube-apiserver'],
    usable: { options: ['--version'], says: /^Kubernetes v1\.(3[4-9]|[4-9]\d)\./ },
    whatFor: 'the real admission of pods, for the injecting webhook',
  },
  {
    name: 'etcd-server',
    kind: 'debian-unpacked',
    version: 'debian',
    package: 'etcd-server',
    commands: ['etcd'],
    usable: { options: ['--version'], says: /^etcd Version: 3\./ },
    whatFor: 'what that API server keeps its objects in',
  },
  {
    name: 'helm',
    kind: 'go',
    version: 'v3.22.0',
    package: 'helm.sh/helm/v3/cmd/helm',
    commands: ['helm'],
    usable: { options: ['version', '--short'], says: /^v3\.(1[4-9]|[2-9]\d)\b/ },
    whatFor: 'lint of the chart, and what it renders',
  },
  {
    name: 'iptables',
    kind: 'debian',
    version: 'debian',
    package: 'iptables',
    commands: ['iptables', 'ip6tables'],
    usable: { options: ['--version'], says: /tables v1\.8/ },
    whatFor: 'the redirection of injected pods, in a network namespace',
  },
  {
    name: 'iproute2',
    kind: 'debian',
    version: 'debian',
    package: 'iproute2',
    commands: ['ip'],
    usable: { options: ['-V'], says: /iproute2/ },
    whatFor: 'those namespaces and the cable between them',
  },
  {
    name: 'chromium',
    kind: 'debian',
    version: 'debian',
    package: 'chromium',
    commands: ['chromium'],
    usable: { options: ['--version'], says: /\bChromium \d{3}\./ },
    whatFor: 'the status page as a browser shows it, and a caller',
  },
  {
    name: 'java',
    kind: 'debian',
    version: 'debian',
    package: 'default-jdk-headless',
    commands: ['java'],
    usable: { options: ['--version'], says: /^openjdk (1[1-9]|[2-9]\d)\b/ },
    whatFor: 'a caller on another stack of TLS, HTTP/1.1 and HTTP/2; a JDK, to run from source',
  },
]
