import { readFileSync } from 'node:fs'

/** A file of the status page. */
export interface StaticFile {
  readonly type: string
  readonly body: string
}

const types = {
  html: 'text/html; charset=utf-8',
} as const

const page: readonly (readonly [path: string, name: string, type: keyof typeof types])[] = [
  ['/', 'index.html', 'html'],
]

/** The files of the status page by their path; read once, at the start, and never again. */
export function readStatusPage(): ReadonlyMap<string, StaticFile> {
  return new Map(
    page.map(([path, name, type]) => [
      path,
      { type: types[type], body: readFileSync(new URL(`./page/${name}`, import.meta.url), 'utf8') },
    ]),
  )
}
