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
  let ca: TestCa
  let pem: string
  let reports: string[]
  let onReport: () => void
  let taken: CallerFiles[]
  let wake: () => void
  let files: FollowedCallerFiles | undefined

  before(async () => {
    ca = await TestCa.root('partner')
    pem = ca.pem
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

  function write(name: string, text: string | Buffer): void {
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
  function hasProduct(name: string): Promise<void> {
    return untilTaken(({ products }) => products.products.has(name))
  }

  /** Resolves when so many certificates of the authority `a` are revoked. */
  function hasRevoked(count: number): Promise<void> {
    return untilTaken((current) => revokedIn(current) === count)
  }

  async function untilTaken(isSo: (current: CallerFiles) => boolean): Promise<void> {
    for (;;) {
      const last = taken.at(-1)
      if (last !== undefined && isSo(last)) return
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }

  const revokedIn = ({ products }: CallerFiles) =>
    products.authorities.get('a')?.revocation?.lists[0]?.size

  const listWith = (entries: number) =>
    ca.revocationList([], {
      entries: Array.from({ length: entries }, (_, i) => ({ serial: BigInt(i + 1) })),
    })

  /** An authority with the revocation list a.crl, of so many entries. */
  function writeAuthority(entries: number): void {
    write('a.pem', pem)
    write('a.crl', listWith(entries))
    write('products.yaml', productsWith('one') + withList)
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

  describe('with revocation lists', () => {
    it('has them from the start', async () => {
      writeAuthority(3)
      const { current } = await start()
      assert.equal(revokedIn(current), 3)
      assert.deepEqual(reports, ['crl accepted'])
    })

    it('takes a change of one, and says that nothing else was new', async () => {
      writeAuthority(3)
      const followed = await start()
      reports.length = 0
      write('a.crl', listWith(40_000))
      await hasRevoked(40_000)
      assert.deepEqual(reports, ['products unchanged', 'api-keys unchanged', 'crl accepted'])
      assert.notEqual(taken.at(-1)?.products, undefined)
      await followed.reload()
      assert.equal(taken.at(-1)?.products, taken.at(-2)?.products)
      assert.deepEqual(reports.at(-1), 'crl unchanged')
    })

    it('starts without one that is bad, and takes it when it is mended', async () => {
      writeAuthority(3)
      write('a.crl', 'hello')
      const { current } = await start()
      assert.equal(revokedIn(current), undefined)
      assert.deepEqual(reports, ['crl refused'])
      write('a.crl', listWith(2))
      await hasRevoked(2)
    })

    it('keeps the last good ones while the file is bad, and takes other changes', async () => {
      writeAuthority(3)
      await start()
      write('a.crl', 'hello')
      write('products.yaml', productsWith('two') + withList)
      await hasProduct('two')
      assert.equal(revokedIn(taken.at(-1)!), 3)
      assert.ok(reports.includes('crl refused'))
    })

    it('takes them also while another file is bad', async () => {
      writeAuthority(3)
      const followed = await start()
      write('api-keys.yaml', 'version: 2\n')
      write('products.yaml', productsWith('two') + withList)
      write('a.crl', listWith(4))
      await hasRevoked(4)
      assert.ok(followed.current.products.products.has('one'))
      assert.ok(reports.includes('api-keys refused'))
    })

    it('misses no change of one that is named for the first time', async () => {
      await start()
      writeAuthority(1)
      onReport = () => {
        onReport = () => undefined
        write('a.crl', listWith(2))
      }
      await hasRevoked(2)
    })

    it('changes nothing any more once it is closed', async () => {
      writeAuthority(3)
      const followed = await start()
      write('a.crl', listWith(40_000))
      const reloaded = followed.reload()
      await followed.close()
      await reloaded
      assert.deepEqual(taken, [])
    })
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

const withList = 'authorities:\n  a: { certificates: a.pem, crl: [a.crl] }\n'

function productsWith(name: string): string {
  return `version: 1\nproducts:\n  ${name}: {}\n`
}
