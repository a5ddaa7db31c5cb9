import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { httpGet } from '../../src/bin/http-get.ts'
import { PosternProcess } from '../support/postern-process.ts'

const refused = 'does not answer as a sidecar of this version does'

const answers: readonly { name: string; answer: RequestListener; says: string }[] = [
  { name: 'nothing that a sidecar says', answer: json('{}'), says: refused },
  { name: 'members of other types', answer: json('{"decision":1,"products":2}'), says: refused },
  { name: 'a list', answer: json('[]'), says: refused },
  { name: 'nested lists', answer: json('['.repeat(200_000)), says: refused },
  { name: 'no JSON', answer: json('<html>'), says: refused },
  {
    name: 'a redirect',
    answer: (_request, reply) => reply.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    says: refused,
  },
  {
    name: 'less than it announced',
    answer: (_request, reply) => {
      reply.writeHead(200, { 'content-length': '100' })
      reply.write('{', () => reply.destroy())
    },
    says: 'does not answer: aborted',
  },
  {
    name: 'more than is read',
    answer: (_request, reply) => {
      reply.on('error', () => undefined)
      for (let i = 0; i < 70; i++) reply.write(Buffer.alloc(1024 * 1024, 0x20))
      reply.end('{}')
    },
    says: 'the answer is larger than 64 MiB',
  },
]

describe('an admin port that is nobody of ours', () => {
  let server: Server
  let answer: RequestListener

  before(async () => {
    server = createServer((request, reply) => answer(request, reply)).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })

  after(() => {
    server.closeAllConnections()
    server.close()
  })

  for (const command of [
    ['explain', 'd_1'],
    ['explain', 'd_1', '-o', 'json'],
    ['migration'],
    ['migration', '-o', 'json'],
  ]) {
    for (const one of answers) {
      it(`is named as such by ${command.join(' ')}: ${one.name}`, async () => {
        answer = one.answer
        const { port } = server.address() as AddressInfo
        const args = [...command, '--admin', `127.0.0.1:${port}`]
        const { code, stdout, stderr } = await PosternProcess.runToEnd(args, { files: {} })
        assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port}.*${one.says}`, 's'))
        assert.deepEqual([code, stdout], [1, ''])
      })
    }
  }

  it('is not waited for without end', async () => {
    answer = () => undefined
    const { port } = server.address() as AddressInfo
    const limits = { patienceMs: 200, largestAnswer: 10 }
    const asked = httpGet(`127.0.0.1:${port}`, '/', limits)
    await assert.rejects(asked, { message: 'no whole answer within 0.2 s' })
  })

  it('is named as such by check --live, which takes nothing of it for good', async () => {
    answer = json('{"identity":{},"files":[],"trustDomains":[],"epoch":1}')
    const { port } = server.address() as AddressInfo
    const { code, stdout } = await PosternProcess.runToEnd(
      ['check', '--live', '--files-only', '-o', 'json'],
      {
        files: {
          'postern.yaml': `health: { listen: '127.0.0.2:${port}' }\nadmin: { listen: '127.0.0.1:${port}' }\n`,
          'products.yaml': 'version: 1\nproducts: { a: { callers: [trustDomain: a.example] } }\n',
        },
      },
    )
    const findings = JSON.parse(stdout) as { about: string; level: string; message: string }[]
    const live = findings.filter(({ about }) => about === 'sidecar')
    assert.deepEqual(
      live.map(({ level }) => level),
      ['problem', 'warning'],
      stdout,
    )
    assert.ok(live[1]?.message.includes(refused), stdout)
    assert.equal(code, 2)
  })
})

function json(text: string): RequestListener {
  return (_request, reply) => {
    reply.setHeader('content-type', 'application/json')
    reply.end(text)
  }
}
