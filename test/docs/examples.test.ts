import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { parseApiKeys } from '../../src/config/api-keys-file.ts'
import { parseProducts } from '../../src/config/products-file.ts'
import { parseSidecarConfig } from '../../src/config/sidecar-config.ts'
import { TestCa } from '../support/test-ca.ts'
import { root } from './support/readme.ts'

const examples = join(root, 'examples')

describe('examples', () => {
  for (const name of readdirSync(examples)) {
    describe(name, () => {
      const files = readdirSync(join(examples, name))
      const read = (file: string) => readFileSync(join(examples, name, file), 'utf8')

      it('has a README that links to files that there are', () => {
        for (const [, link = ''] of read('README.md').matchAll(/\]\(([^)#]+)\)/g)) {
          assert.ok(existsSync(join(examples, name, link)), link)
        }
      })

      for (const file of files.filter((it) => it.endsWith('.yaml'))) {
        it(`${file} parses`, async () => {
          const text = read(file)
          if (file === 'postern.yaml') {
            parseSidecarConfig(text, file, {})
          } else if (file === 'products.yaml') {
            const { pem } = await TestCa.root('authority')
            parseProducts(text, file, { readPem: () => pem, allowRemoteUpstream: false })
          } else if (file === 'api-keys.yaml') {
            parseApiKeys(text, file)
          } else {
            for (const { errors } of [parseAllDocuments(text)].flat()) assert.deepEqual(errors, [])
          }
        })
      }
    })
  }
})
