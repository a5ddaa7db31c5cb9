import { readKeptUsage } from '../admin/usage-file.ts'
import {
  type MigrationView,
  type ProductMigration,
  viewMigration,
} from '../admin/views/migration-view.ts'
import { loadCallerFiles } from '../app/caller-files.ts'
import { systemClock } from '../core/clock.ts'
import { PosternError } from '../core/errors.ts'
import { readMigration } from './admin-answers.ts'
import { adminAddress, type AdminFlags, askAdmin } from './admin-client.ts'
import { loadConfig } from './load-config.ts'
import type { OutputForm } from './options.ts'
import { printable } from './printable.ts'
import { formatTable } from './table.ts'
import { print, type Terminal } from './terminal.ts'

export interface MigrationFlags extends AdminFlags {
  /** Asks no running sidecar. */
  readonly offline?: boolean
  readonly days: number
  readonly output: OutputForm
}

/** Says who still uses API keys: asks the running sidecar, or reads what it kept. */
export async function migration(flags: MigrationFlags, terminal: Terminal): Promise<void> {
  const text =
    flags.offline === true
      ? format(await readKept(flags, terminal), flags)
      : await ask(flags, terminal)
  print(terminal, text)
}

function format(view: MigrationView, { output }: MigrationFlags): string {
  return output === 'json' ? JSON.stringify(view) : formatMigration(view)
}

function ask(flags: MigrationFlags, terminal: Terminal): Promise<string> {
  const address = adminAddress(flags, terminal)
  const path = `/migration?days=${flags.days}`
  return askAdmin(address, path, (answer) => format(readMigration(answer), flags))
}

/** From the files that the configuration names and `usage.json` of its state directory. Throws `PosternError`. */
async function readKept(flags: MigrationFlags, terminal: Terminal): Promise<MigrationView> {
  const config = loadConfig(flags.config, terminal)
  const { directory } = config.state
  if (directory === undefined) {
    const expected = 'expected a directory, in which the sidecar keeps who called'
    throw new PosternError(
      'ERR_CONFIG_INVALID',
      `${flags.config}: state.directory is missing, ${expected}`,
    )
  }
  const { usage, savedMs: countedUntilMs } = await readKeptUsage(directory)
  const { allowRemoteUpstream } = config.inbound
  const trust = loadCallerFiles({ ...config, allowRemoteUpstream })
  const { days: quietDays } = flags
  return viewMigration({ trust, usage, nowMs: systemClock.now(), countedUntilMs, quietDays })
}

function formatMigration(view: MigrationView): string {
  const { products, otherProducts, countedSince, countedUntil, quietDays, countedLongEnough } = view
  const until = countedUntil === undefined ? '' : ` until ${countedUntil}`
  return [
    `counted since ${countedSince}${until}${countedLongEnough ? '' : `, which is less than ${quietDays} days`}`,
    ...(products.length === 0 ? ['no product takes API keys, and none was used'] : []),
    ...products.flatMap((product) => ['', ...formatProduct(product)]),
    ...(otherProducts === 0 ? [] : ['', `and ${otherProducts} more products`]),
  ].join('\n')
}

function formatProduct(product: ProductMigration): string[] {
  const { consumers, consumerCount, certificates, certificateCount } = product
  const rows = [
    ['  consumer', 'last key use', 'requests', 'keys', ''],
    ...consumers.map(({ consumer, lastKeyUse, allowed, keys, stillUsesKeys }) => [
      `  ${printable(consumer)}`,
      lastKeyUse ?? 'never seen',
      String(allowed),
      keys.map(({ id }) => printable(id)).join(', '),
      stillUsesKeys ? 'still uses keys' : '',
    ]),
  ]
  const seen = certificates.map(({ principal, lastSeen, allowed }) => [
    `  ${printable(principal)}`,
    lastSeen,
    String(allowed),
  ])
  return [
    `${product.product}: apiKeys ${product.apiKeys}, require ${product.require}`,
    `  ${printable(product.ifRefused)}`,
    ...(product.atItsEnd === undefined ? [] : [`  ${printable(product.atItsEnd)}`]),
    ...(consumers.length === 0 ? [] : [formatTable(rows)]),
    ...more(consumerCount - consumers.length, 'consumers'),
    ...(seen.length === 0
      ? []
      : [formatTable([['  certificate', 'last seen', 'requests'], ...seen])]),
    ...more(certificateCount - certificates.length, 'callers with a certificate'),
  ]
}

function more(count: number, what: string): string[] {
  return count > 0 ? [`  and ${count} more ${what}`] : []
}
