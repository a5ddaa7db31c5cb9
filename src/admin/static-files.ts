import { readFileSync } from 'node:fs'

/** A file of the status page. */
export interface StaticFile {
  readonly type: string
  readonly body: string
}

const types = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
} as const

type Kind = keyof typeof types

const names: readonly (readonly [name: string, kind: Kind])[] = [
  ['index.html', 'html'],
  ['style.css', 'css'],
  ['page.js', 'js'],
  ['decisions.js', 'js'],
  ['explanation.js', 'js'],
  ['status.js', 'js'],
  ['elements.js', 'js'],
  ['icon.svg', 'svg'],
]

/** The files of the status page by their path; read once, at the start, and never again. */
export function readStatusPage(): ReadonlyMap<string, StaticFile> {
  return new Map(
    names.map(([name, kind]) => [
      name === 'index.html' ? '/' : `/${name}`,
      { type: types[kind], body: readFileSync(new URL(`./page/${name}`, import.meta.url), 'utf8') },
    ]),
  )
}
