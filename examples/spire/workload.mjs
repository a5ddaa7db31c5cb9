/** The workload of this example: says in one line whom it was told that it serves. `node workload.mjs [port=8080]` */
import { createServer } from 'node:http'

const server = createServer(({ headers }, response) => {
  const told = ['product', 'principal', 'credential'].map((name) => headers[`x-postern-${name}`])
  response.end(`${told.join(' ')}\n`)
})
server.listen(Number(process.argv[2] ?? 8080), '127.0.0.1', () => {
  console.log(server.address().port)
})
