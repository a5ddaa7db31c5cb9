import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PosternProcess } from '../support/postern-process.ts'

const refused = 'does not answer as a sidecar of this version does'
const unreachable = 'does not answer: '

const answers: readonly { name: string; answer: RequestListener; says: string }[] = [
  { name: 'nothing that a sidecar says', answer: json('{}'), says: refused },
  { name: 'members of other types', answer: json('{"decision":1,"products":2}'), says: refused },
  { name: 'a list', answer: json('[]'), says: refused },
  { name: 'nested lists', answer: json('['.repeat(200_000)), says: refused },
  { name: 'no JSON', answer: json('<html>'), says: refused },
  {
    name: 'a redirect',
    answer: (_request, reply) => reply.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    says: unreachable,
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

  for (const command of [['explain', 'd_1'], ['migration']]) {
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
})

function json(text: string): RequestListener {
  return (_request, reply) => {
    reply.setHeader('content-type', 'application/json')
    reply.end(text)
  }
}
