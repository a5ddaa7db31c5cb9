/**
 * Makes an element. Strings become text and nothing else: what a caller sent is never markup. `properties` are set as
 * attributes; one that is undefined or false is left out.
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name)
  for (const [attribute, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue
    made.setAttribute(attribute, value === true ? '' : String(value))
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== ''))
  return made
}

/** A point in time, told as its distance from now, which `tick` keeps true. */
export function moment(iso) {
  if (iso === undefined || iso === '') return 'never'
  const made = element('time', { datetime: iso, title: iso })
  made.textContent = distance(Date.parse(iso))
  return made
}

/** Tells all distances again. */
export function tick() {
  for (const one of document.querySelectorAll('time[datetime]')) {
    const text = distance(Date.parse(one.dateTime))
    if (one.textContent !== text) one.textContent = text
  }
}

const units = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
]

function distance(timeMs) {
  const seconds = Math.round((timeMs - Date.now()) / 1_000)
  if (Math.abs(seconds) < 1) return 'now'
  return seconds < 0 ? `${duration(-seconds)} ago` : `in ${duration(seconds)}`
}

/** The two largest units: `3 d 4 h`. */
export function duration(seconds) {
  const first = units.findIndex(([, size]) => seconds >= size)
  if (first === -1) return '0 s'
  const [name, size] = units[first]
  const [nextName, nextSize] = units[first + 1] ?? []
  const rest = nextSize === undefined ? 0 : Math.floor((seconds % size) / nextSize)
  const whole = `${Math.floor(seconds / size)} ${name}`
  return rest === 0 || seconds > 9 * size ? whole : `${whole} ${rest} ${nextName}`
}

/** A table that a narrow screen shows as a list: each cell carries the name of its column. */
export function table(columns, rows) {
  const head = element('tr', {}, ...columns.map((name) => element('th', { scope: 'col' }, name)))
  const body = rows.map((cells) =>
    element(
      'tr',
      {},
      ...cells.map((cell, i) => element('td', { 'data-label': columns[i] }, cell ?? '')),
    ),
  )
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...body))
}

export function mono(text) {
  return element('span', { class: 'mono' }, text)
}

export function tag(text, kind = '') {
  return element('span', { class: `tag ${kind}` }, text)
}

export function empty(text) {
  return element('p', { class: 'empty' }, text)
}

/** Puts `children` in the place of what stands there; what was open stays open, and the focus where it was. */
export function replaceKept(place, ...children) {
  const open = new Set(
    [...place.querySelectorAll('details[open]')].map(({ dataset }) => dataset.key),
  )
  const focused = place.contains(document.activeElement)
    ? document.activeElement.closest('[data-key]')?.dataset.key
    : undefined
  place.replaceChildren(...children)
  for (const one of place.querySelectorAll('details[data-key]')) {
    if (open.has(one.dataset.key)) one.open = true
    if (focused !== undefined && one.dataset.key === focused) one.querySelector('summary').focus()
  }
}
