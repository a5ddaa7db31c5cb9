import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { appendKey, formatKeyEntry, type NewKeyEntry, revokeKey } from '../config/api-keys-edit.ts'
import { largestKeysFile, parseApiKeys } from '../config/api-keys-file.ts'
import { readTextFile } from '../config/read-file.ts'
import { systemClock } from '../core/clock.ts'
import { createApiKey } from '../policy/api-key.ts'
import type { ApiKey } from '../policy/api-key-table.ts'
import type { OutputForm } from './options.ts'
import { replaceFile } from './replace-file.ts'
import { formatTable } from './table.ts'
import { print, type Terminal } from './terminal.ts'

export interface CreateFlags {
  readonly product: string
  readonly consumer: string
  readonly notBefore?: string
  readonly expires?: string
  readonly append?: string
  readonly output: OutputForm
}

export interface FileFlags {
  readonly file: string
  readonly output: OutputForm
}

/** Makes a key; writes it nowhere but to stdout. */
export function createKey(flags: CreateFlags, terminal: Terminal): void {
  const text = flags.append === undefined ? '' : readExisting(flags.append)
  const taken = text === '' ? undefined : parseApiKeys(text, flags.append ?? '')
  const { key, id, sha256 } = createApiKey(
    randomBytes,
    (one) => taken?.find({ id: one }) !== undefined,
  )
  const entry: NewKeyEntry = {
    id,
    sha256,
    product: flags.product,
    consumer: flags.consumer,
    ...(flags.notBefore === undefined ? {} : { notBefore: flags.notBefore }),
    ...(flags.expires === undefined ? {} : { expires: flags.expires }),
  }
  // Also when nothing is written: an entry that the file would refuse must not be printed.
  const edited = appendKey(text, flags.append ?? 'the new entry', entry)
  if (flags.append !== undefined) replaceFile(flags.append, edited)
  if (flags.output === 'json') {
    print(terminal, JSON.stringify({ key, entry }))
    return
  }
  print(terminal, `key: ${key}`)
  print(
    terminal,
    `shown once; ${flags.append === undefined ? 'entry' : 'added'}: - ${formatKeyEntry(entry)}`,
  )
}

/** Prints what a file holds about its keys. */
export function listKeys(flags: FileFlags, terminal: Terminal): void {
  const keys = [...parseApiKeys(readTextFile(flags.file, largestKeysFile), flags.file).entries()]
  if (flags.output === 'json') {
    print(terminal, JSON.stringify(keys.map(describe)))
    return
  }
  const rows = keys.map((key) => {
    const { id, product, consumer, state, notBefore, expires } = describe(key)
    return [id, product, consumer, state, notBefore ?? '', expires ?? '']
  })
  const header = ['ID', 'PRODUCT', 'CONSUMER', 'STATE', 'NOT BEFORE', 'EXPIRES']
  print(terminal, formatTable([header, ...rows]))
}

/** Lets a key expire now. */
export function revokeKeyIn(id: string, { file }: FileFlags, terminal: Terminal): void {
  replaceFile(file, revokeKey(readTextFile(file, largestKeysFile), file, id, systemClock.now()))
  print(terminal, `${id} is revoked`)
}

function describe(key: ApiKey) {
  const nowMs = systemClock.now()
  return {
    id: key.id,
    product: key.product,
    consumer: key.consumer,
    state: nowMs < key.notBeforeMs ? 'not yet valid' : nowMs < key.expiresMs ? 'valid' : 'expired',
    notBefore: dateOf(key.notBeforeMs),
    expires: dateOf(key.expiresMs),
  }
}

function dateOf(ms: number): string | undefined {
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace('.000Z', 'Z') : undefined
}

function readExisting(file: string): string {
  return existsSync(file) ? readTextFile(file, largestKeysFile) : ''
}
