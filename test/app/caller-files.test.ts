import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CallerFiles, FollowedCallerFiles } from '../../src/app/caller-files.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { TestCa } from '../support/test-ca.ts'

/** Real files; the clock is real too, but its timers fire when the event loop is free. */
describe('FollowedCallerFiles', () => {
  let directory: string
  let pem: string
  let reports: string[]
  let onReport: () => void
  let taken: CallerFiles[]
  let wake: () => void
  let files: FollowedCallerFiles | undefined

  before(async () => {
    pem = (await TestCa.root('partner')).pem
  })

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'postern-files-'))
    reports = []
    taken = []
    onReport = () => undefined
    wake = () => undefined
    write('api-keys.yaml', 'version: 1\nkeys: []\n')
    write('products.yaml', productsWith('one'))
  })

  afterEach(async () => {
    await files?.close()
    rmSync(directory, { recursive: true, force: true })
  })

  function write(name: string, text: string): void {
    writeFileSync(join(directory, name), text)
  }

  async function start(): Promise<FollowedCallerFiles> {
    files = await FollowedCallerFiles.start({
      paths: {
        products: join(directory, 'products.yaml'),
        apiKeys: join(directory, 'api-keys.yaml'),
        allowRemoteUpstream: false,
      },
      clock: hurriedClock,
      logger: silentLogger,
      onFiles: (current) => {
        taken.push(current)
        wake()
      },
      onReload: (file, result) => {
        reports.push(`${file} ${result}`)
        onReport()
      },
    })
    return files
  }

  /** Resolves when a product of this name is in force. */
  async function hasProduct(name: string): Promise<void> {
    while (taken.at(-1)?.products.products.has(name) !== true) {
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }

  it('takes a change of the product map and says what was new', async () => {
    await start()
    write('products.yaml', productsWith('two'))
    await hasProduct('two')
    assert.deepEqual(reports, ['products accepted', 'api-keys unchanged'])
  })

  it('misses no change that comes while it reads the one before', async () => {
    await start()
    onReport = () => {
      onReport = () => undefined
      write('products.yaml', productsWith('three'))
    }
    write('products.yaml', productsWith('two'))
    await hasProduct('three')
  })

  it('misses no change of a file that is named for the first time', async () => {
    await start()
    write('partner.pem', 'not yet')
    write(
      'products.yaml',
      `${productsWith('two')}authorities:\n  a: { certificates: partner.pem }\n`,
    )
    onReport = () => {
      onReport = () => undefined
      write('partner.pem', pem)
    }
    await hasProduct('two')
    assert.ok(reports.includes('products refused'))
    assert.equal(taken.at(-1)?.products.authorities.get('a')?.anchors.length, 1)
  })

  it('takes neither file while one of them is bad, and both when it is mended', async () => {
    const followed = await start()
    write('api-keys.yaml', 'version: 2\n')
    write('products.yaml', productsWith('two'))
    await followed.reload()
    assert.deepEqual(new Set(reports), new Set(['api-keys refused']))
    assert.ok(followed.current.products.products.has('one'))
    reports.length = 0
    write('api-keys.yaml', 'version: 1\nkeys: []\n# mended\n')
    await hasProduct('two')
    assert.ok(reports.includes('products accepted'))
    assert.ok(reports.includes('api-keys accepted'))
  })
})

/** Waits for nothing: the file system need not be quiet for long. */
const hurriedClock: Clock = {
  ...systemClock,
  setTimer: (delayMs, fire, options) => systemClock.setTimer(Math.min(delayMs, 5), fire, options),
}

function productsWith(name: string): string {
  return `version: 1\nproducts:\n  ${name}: {}\n`
}
