import assert from 'node:assert/strict'
import { parseWorkloadApiAddress } from '../../src/workload-api/address.ts'

const unix = (path: string) => ({ kind: 'unix', path, target: `unix:${path}` })
const tcp = (host: string, port: number, target: string) => ({ kind: 'tcp', host, port, target })

const good = [
  { text: 'unix:///run/agent.sock', is: unix('/run/agent.sock') },
  { text: 'unix:/run/agent.sock', is: unix('/run/agent.sock') },
  { text: 'unix:///run/with%20space.sock', is: unix('/run/with space.sock') },
  { text: `unix:///${'a'.repeat(106)}`, is: unix(`/${'a'.repeat(106)}`) },
  { text: 'tcp://127.0.0.1:8081', is: tcp('127.0.0.1', 8081, 'ipv4:127.0.0.1:8081') },
  { text: 'tcp://[::1]:65535', is: tcp('::1', 65535, 'ipv6:[::1]:65535') },
]

const bad = [
  { name: 'nothing', text: '' },
  { name: 'a bare path', text: '/run/agent.sock' },
  { name: 'a relative path', text: 'unix:run/agent.sock' },
  { name: 'an authority', text: 'unix://run/agent.sock' },
  { name: 'an authority without a path', text: 'unix://run' },
  { name: 'an authority in disguise', text: 'unix:////run/agent.sock' },
  { name: 'an authority behind an encoded slash', text: 'unix:/%2Frun/agent.sock' },
  { name: 'no path', text: 'unix://' },
  { name: 'the root directory', text: 'unix:///' },
  { name: 'a directory', text: 'unix:///run/' },
  { name: 'a query', text: 'unix:///run/agent.sock?a=b' },
  { name: 'a fragment', text: 'unix:///run/agent.sock#a' },
  { name: 'a broken percent-encoding', text: 'unix:///run/%zz' },
  { name: 'an encoded NUL', text: 'unix:///run/a%00b' },
  { name: 'a line feed', text: 'unix:///run/a\nb' },
  { name: 'a path that the kernel would cut', text: `unix:///${'a'.repeat(107)}` },
  { name: 'another scheme', text: 'http://127.0.0.1:8081' },
  { name: "grpc-js's own scheme", text: 'ipv4:127.0.0.1:8081' },
  { name: 'an upper-case scheme', text: 'UNIX:///run/agent.sock' },
  { name: 'white space around it', text: ' unix:///run/agent.sock' },
  { name: 'a host name', text: 'tcp://localhost:8081' },
  { name: 'no port', text: 'tcp://127.0.0.1' },
  { name: 'port 0', text: 'tcp://127.0.0.1:0' },
  { name: 'port 65536', text: 'tcp://127.0.0.1:65536' },
  { name: 'a path after the port', text: 'tcp://127.0.0.1:8081/' },
  { name: 'user information', text: 'tcp://user@127.0.0.1:8081' },
  { name: 'a query after the port', text: 'tcp://127.0.0.1:8081?a' },
  { name: 'an octet above 255', text: 'tcp://127.0.0.256:8081' },
  { name: 'an octet with a leading zero', text: 'tcp://127.0.0.01:8081' },
  { name: 'IPv6 without brackets', text: 'tcp://::1:8081' },
  { name: 'IPv6 with a zone', text: 'tcp://[fe80::1%eth0]:8081' },
  { name: 'IPv4 in brackets', text: 'tcp://[127.0.0.1]:8081' },
]

describe('parseWorkloadApiAddress', () => {
  for (const { text, is } of good) {
    it(`reads ${text.slice(0, 40)}`, () => {
      assert.deepEqual(parseWorkloadApiAddress(text), is)
    })
  }

  for (const { name, text } of bad) {
    it(`refuses ${name}`, () => {
      assert.throws(() => parseWorkloadApiAddress(text), { code: 'ERR_ADDRESS_INVALID' })
    })
  }
})
