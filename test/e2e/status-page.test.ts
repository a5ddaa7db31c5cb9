import assert from 'node:assert/strict'
import type { Browser, Page } from 'playwright-core'
import type { StatusView } from '../../src/admin/views/status-view.ts'
import * as probes from './support/page-probes.ts'
import { launchBrowser, openPage, type WatchedPage } from './support/browser.ts'
import { identityOf } from './support/caller.ts'
import { checkoutId, Mesh, sidecarId, threeCallers } from './support/mesh.ts'

const desktop = { viewport: { width: 1280, height: 900 } }
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true }
/** A port of this machine where nobody listens. */
const nowhere = '127.0.0.1:1'
const billingId = 'spiffe://corp.example/billing'
const markup = '<img src=x onerror=alert(1)>'

describe('the status page in Chromium', function () {
  this.timeout(180_000)
  let browser: Browser
  let mesh: Mesh

  before(async function () {
    this.timeout(180_000)
    browser = await launchBrowser(this)
    mesh = await Mesh.start({
      products: { ...threeCallers, 'reports-and-more': { apiKeys: 'accept' } },
      keys: { acme: { product: 'reports-and-more', consumer: 'acme' } },
      config: { outbound: [{ listen: '127.0.0.1:0', upstream: nowhere, expect: billingId }] },
    })
    await (await mesh.svidCaller(checkoutId)).call({ path: '/orders/17' })
    await mesh.keyCaller('acme').call({ path: '/reports' })
    await mesh.anonymous().call({ path: '/nobody' })
  })

  after(async () => {
    await browser.close()
    await mesh.close()
  })

  const url = () => `http://127.0.0.1:${mesh.postern.adminPort}/`

  /** Opens the page, waits for what it shows first, and makes sure afterwards that nothing was wrong with it. */
  async function onPage(
    options: Parameters<typeof openPage>[2],
    use: (page: Page) => Promise<void>,
    hash = '',
  ): Promise<void> {
    const watched = await openPage(browser, url() + hash, options)
    try {
      await watched.page.locator('#decision-list li').first().waitFor()
      await watched.page.locator('#products details').first().waitFor()
      await use(watched.page)
      assertGood(watched)
    } finally {
      await watched.page.context().close()
    }
  }

  function assertGood({ complaints, foreign }: WatchedPage): void {
    assert.deepEqual(complaints, [])
    assert.deepEqual(foreign, [])
  }

  it('shows who we are, who called, and which keys are used', async () => {
    await onPage(desktop, async (page) => {
      assert.equal(await page.locator('#state').textContent(), 'ready')
      assert.equal(await page.locator('#summary .who strong').textContent(), sidecarId)
      assert.match((await page.locator('#summary .validity').textContent()) ?? '', /valid for \d/)
      const checkout = page.locator('#products details', { hasText: 'checkout' })
      await checkout.locator('summary').click()
      assert.ok(await checkout.getByText(checkoutId).first().isVisible())
      const key = page.locator('#keys tbody tr', { hasText: 'acme' })
      assert.match((await key.textContent()) ?? '', /valid/)
      assert.match((await page.locator('#trust').textContent()) ?? '', /our trust domain/)
      assert.match((await page.locator('#migration').textContent()) ?? '', /would lock out acme/)
      assert.match((await page.locator('#epochs').textContent()) ?? '', /the sidecar started/)
    })
  })

  it('shows whom the workload calls, what is open, and why the last call failed', async () => {
    const [port] = mesh.postern.outboundPorts
    await onPage(desktop, async (page) => {
      const row = page.locator('#outbound tbody tr')
      assert.deepEqual(await row.locator('td').allTextContents(), [
        `127.0.0.1:${port}`,
        nowhere,
        billingId,
        '0',
        '–',
      ])
      assert.equal((await fetch(`http://127.0.0.1:${port}/v1`)).status, 503)
      await row.getByText('upstream_unavailable').waitFor()
      assert.match((await row.textContent()) ?? '', /upstream_unavailable .*REFUSED/)
      const [entry] = (await mesh.postern.admin<StatusView>('/status')).outbound
      assert.equal(entry?.lastFailure?.reason, 'upstream_unavailable')
    })
  })

  it('shows a decision as it is made, and why, without being asked again', async () => {
    await onPage(desktop, async (page) => {
      await page.getByText('live', { exact: true }).waitFor()
      const forged = await mesh.partnerB.leaf({ spiffeId: checkoutId })
      const reply = await mesh.caller(identityOf(forged)).call({ path: '/forged' })
      const row = page.locator(`#${String(reply.json.decision_id)}`)
      await row.waitFor()
      await row.locator('button').click()
      const why = row.locator('.explanation')
      await why.waitFor()
      const text = (await why.textContent()) ?? ''
      assert.match(text, /is neither trusted nor was it sent/)
      assert.match(text, /had to vouch: bundle of corp\.example/)
      assert.match(text, /\/forged/)
    })
  })

  it('shows what an attacker sends as text', async () => {
    const evil = await mesh.partnerB.leaf({ subject: `/O=${markup}/CN=x` })
    const reply = await mesh.caller(identityOf(evil)).call({ path: "/settle/'%3Cscript%3E" })
    assert.equal(reply.status, 200)
    await onPage(desktop, async (page) => {
      const caller = page.locator('#decision-list .who', { hasText: 'onerror' }).first()
      assert.match((await caller.textContent()) ?? '', /<img src=x onerror=alert\(1\)/)
      const row = page.locator('#decision-list li', { hasText: 'onerror' }).first()
      await row.locator('button').click()
      await row.locator('.explanation').waitFor()
      await page.locator('#products summary', { hasText: 'settlement' }).click()
      assert.equal(await page.locator('main img, main script, main b script').count(), 0)
    })
  })

  it('narrows the list, offers the products, and finds a decision by its id', async () => {
    const denied = await mesh.anonymous().call({ path: '/looked-for' })
    const id = String(denied.json.decision_id)
    await onPage(desktop, async (page) => {
      const rows = page.locator('#decision-list > li')
      // Not page.waitForFunction(): it evaluates texts in the page, which the page's own policy forbids.
      const fewerThan = (count: number) =>
        mesh.postern.until(`fewer than ${count} rows`, async () => (await rows.count()) < count)
      const before = await rows.count()
      await page.getByLabel('Answer').selectOption('deny')
      await fewerThan(before)
      assert.equal(await page.locator('#decision-list > li.allow').count(), 0)
      await page.getByLabel('Answer').selectOption('')
      await page.getByRole('combobox', { name: 'Product' }).selectOption('reports-and-more')
      await page.locator('#decision-list > li.deny').first().waitFor({ state: 'detached' })
      await page.getByRole('combobox', { name: 'Product' }).selectOption('')
      await page.getByRole('searchbox').fill(id)
      await fewerThan(2)
      assert.match((await rows.first().textContent()) ?? '', /looked-for/)
    })
  })

  it('opens the decision that an address names', async () => {
    const denied = await mesh.anonymous().call({ path: '/linked' })
    await onPage(
      desktop,
      async (page) => {
        await page.locator('.explanation').waitFor()
        assert.match((await page.locator('.explanation').textContent()) ?? '', /\/linked/)
      },
      `#${String(denied.json.decision_id)}`,
    )
  })

  it('is worked with the keyboard alone, and a row that is open stays where the focus is', async () => {
    await onPage(desktop, async (page) => {
      await page.keyboard.press('Tab')
      assert.equal(await page.evaluate(probes.focusedText), 'Skip to the decisions')
      await page.keyboard.press('Enter')
      const reached: string[] = []
      for (let i = 0; i < 12 && !reached.includes('line'); i++) {
        await page.keyboard.press('Tab')
        reached.push(String(await page.evaluate(probes.focusedClass)))
      }
      assert.ok(reached.includes('line'), reached.join())
      assert.notEqual(await page.evaluate(probes.focusedOutline), 'none')
      await page.keyboard.press('Enter')
      await page.locator('.explanation').waitFor()
      const id = await page.evaluate(probes.focusedRow)
      const reply = await mesh.anonymous().call({ path: '/meanwhile' })
      await page.locator(`#${String(reply.json.decision_id)}`).waitFor()
      assert.equal(await page.evaluate(probes.focusedRow), id)
      await page.keyboard.press('Space')
      await page.locator('.explanation').waitFor({ state: 'hidden' })
    })
  })

  it('waits while it is paused, and catches up', async () => {
    await onPage(desktop, async (page) => {
      await page.getByText('live', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Pause' }).click()
      const reply = await mesh.anonymous().call({ path: '/paused' })
      await page.getByText('1 new').waitFor()
      const row = page.locator(`#${String(reply.json.decision_id)}`)
      assert.equal(await row.count(), 0)
      await page.getByRole('button', { name: 'Go on' }).click()
      await row.waitFor()
    })
  })

  it('tells of a change of the files as it happens, and reads them again when asked', async () => {
    await onPage(desktop, async (page) => {
      const { epochs } = await mesh.postern.admin<{ epochs: object[] }>('/status')
      await page.locator('#products summary', { hasText: 'checkout' }).click()
      await mesh.postern.write({
        'products.yaml': mesh.products({
          ...threeCallers,
          'reports-and-more': { apiKeys: 'warn' },
        }),
      })
      await page.getByRole('button', { name: 'Reload files' }).click()
      await page.getByText('The files were read again.').waitFor()
      await page.getByText('apiKeys was accept, is warn').waitFor()
      assert.ok((await page.locator('.epochs > li').count()) > epochs.length)
      // What was open stays open.
      assert.equal(await page.locator('#products details[open]').count(), 1)
    })
  })

  it('says when the sidecar is gone', async () => {
    await using other = await Mesh.start({ products: threeCallers })
    const { page } = await openPage(
      browser,
      `http://127.0.0.1:${other.postern.adminPort}/`,
      desktop,
    )
    await page.locator('#state', { hasText: 'ready' }).waitFor()
    other.postern.signal('SIGTERM')
    await other.postern.exited
    await page.locator('#state', { hasText: 'does not answer' }).waitFor()
    await page.context().close()
  })

  const screens = [
    { name: 'a phone', options: phone },
    { name: 'a phone in the dark', options: { ...phone, colorScheme: 'dark' as const } },
    { name: 'a desktop in the dark', options: { ...desktop, colorScheme: 'dark' as const } },
    { name: 'a window of half a screen', options: { viewport: { width: 700, height: 800 } } },
  ]
  for (const { name, options } of screens) {
    it(`fits ${name}: nothing sticks out, and all text can be read`, async () => {
      const long = `spiffe://partner-a.example/${'segment/'.repeat(20)}end`
      await (await mesh.svidCaller(long)).call({ path: `/${'path/'.repeat(40)}` })
      await onPage(options, async (page) => {
        await page.locator('#decision-list button').first().click()
        await page.locator('.explanation').waitFor()
        for (const summary of await page.locator('summary').all()) await summary.click()
        assert.equal(await page.evaluate(probes.sticksOut), false)
        assert.deepEqual(await page.evaluate(probes.faintTexts), [])
      })
    })
  }
})
