import type { MigrationView, ProductMigration } from '../admin/views/migration-view.ts'
import { adminAddress, type AdminFlags, askAdmin } from './admin-client.ts'
import type { OutputForm } from './options.ts'
import { printable } from './printable.ts'
import { formatTable } from './table.ts'
import { print, type Terminal } from './terminal.ts'

export interface MigrationFlags extends AdminFlags {
  readonly days: number
  readonly output: OutputForm
}

/** Asks the running sidecar who still uses API keys, and prints it. */
export async function migration(flags: MigrationFlags, terminal: Terminal): Promise<void> {
  const address = adminAddress(flags, terminal)
  const view = await askAdmin<MigrationView>(address, `/migration?days=${flags.days}`)
  if (flags.output === 'json') print(terminal, JSON.stringify(view))
  else print(terminal, formatMigration(view))
}

function formatMigration(view: MigrationView): string {
  const { products, otherProducts, countedSince, quietDays, countedLongEnough } = view
  return [
    `counted since ${countedSince}${countedLongEnough ? '' : `, which is less than ${quietDays} days`}`,
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
