import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseProducts } from '../../src/config/products-file.ts'
import { ejectManifests, injectManifests } from '../../src/injector/manifest/inject-manifests.ts'
import { optionsWith } from '../injector/support/pods.ts'
import { TestCa } from '../support/test-ca.ts'
import { root } from './support/readme.ts'

describe('examples/kubernetes', () => {
  const read = (name: string) => readFileSync(join(root, 'examples/kubernetes', name), 'utf8')
  const app = { name: 'app.yaml', text: read('app.yaml') }

  it('is injected, led to the sidecar, and given back', () => {
    const options = { ...optionsWith({ keys: 'postern-keys' }), renamesPorts: true }
    const { texts, notes } = injectManifests([app], options)
    const [text = ''] = texts

    assert.deepEqual(notes, [])
    assert.match(text, /^ {8}- name: postern$/m)
    assert.match(text, /^ {6}targetPort: 8443 #/m)
    assert.deepEqual(ejectManifests([{ name: 'app.yaml', text }]).texts, [app.text])
  })

  it('has a product map that the sidecar takes', async () => {
    const { pem } = await TestCa.root('partner-b')
    const { products } = parseProducts(read('products.yaml'), 'products.yaml', {
      readPem: () => pem,
      allowRemoteUpstream: false,
    })

    assert.deepEqual([...products.keys()], ['checkout', 'settlement', 'reports'])
  })
})
