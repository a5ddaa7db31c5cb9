import type { Context } from 'mocha'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { requireTool } from '../../support/tools.ts'

/** A page in a real browser, with everything that it complained about. */
export interface WatchedPage {
  readonly page: Page
  /** Errors on the console, exceptions, and what the content security policy blocked. */
  readonly complaints: string[]
  /** Addresses that were asked for elsewhere than at the page's own origin. */
  readonly foreign: string[]
}

/** Debian's Chromium without a window; skips the suite where it is missing. The caller closes it. */
export function launchBrowser(context: Context): Promise<Browser> {
  return chromium.launch({
    executablePath: requireTool(context, 'chromium'),
    args: [
      // As root there is no sandbox; and nothing is asked of the network that the page does not ask.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** Opens an address in a context of its own. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const complaints: string[] = []
  const foreign: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) foreign.push(request.url())
  })
  await page.goto(url)
  return { page, complaints, foreign }
}
