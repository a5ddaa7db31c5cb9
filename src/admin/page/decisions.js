import { element, moment, tag } from './elements.js'
import { renderExplanation } from './explanation.js'

const mostShown = 200

/** The list of decisions: the last ones, then each as it is made. */
export class Decisions {
  #form = document.getElementById('filter')
  #list = document.getElementById('decision-list')
  #none = document.getElementById('no-decisions')
  #live = document.getElementById('live')
  #pause = document.getElementById('pause')
  #stream
  #held = []
  #skipped = 0
  #asked = 0
  #onEpoch

  constructor({ onEpoch }) {
    this.#onEpoch = onEpoch
    this.#form.addEventListener('submit', (event) => event.preventDefault())
    this.#form.addEventListener('input', () => this.start())
    this.#pause.addEventListener('click', () => this.#togglePause())
    document.addEventListener('visibilitychange', () => this.#onVisibility())
  }

  get #isPaused() {
    return this.#pause.getAttribute('aria-pressed') === 'true'
  }

  /** Lets the filter offer these products. */
  offerProducts(names) {
    const select = this.#form.elements.namedItem('product')
    const offered = [...select.options].slice(1).map(({ value }) => value)
    if (offered.join('\n') === names.join('\n')) return
    const chosen = select.value
    const options = names.map((name) => element('option', { value: name }, name))
    select.replaceChildren(select.options[0], ...options)
    select.value = names.includes(chosen) ? chosen : ''
  }

  /** Asks for what matches the filter, and listens for more. */
  async start() {
    const asked = ++this.#asked
    const query = this.#query()
    this.#stream?.close()
    this.#held = []
    this.#skipped = 0
    // First the stream, then the list: nothing between the two is lost, and what comes twice is shown once.
    this.#listen(query)
    const reply = await fetch(`/decisions?${query}`).catch(() => undefined)
    if (asked !== this.#asked || reply?.ok !== true) return
    const { decisions } = await reply.json()
    if (asked !== this.#asked) return
    const shown = new Set(decisions.map(({ id }) => id))
    const newer = this.#held.filter(({ id }) => !shown.has(id))
    this.#held = []
    this.#list.replaceChildren(...[...newer.reverse(), ...decisions].map((one) => this.#row(one)))
    this.#isLoaded = true
    this.#tell()
  }

  #isLoaded = false

  /** Opens one by its id, also when it does not stand in the list. */
  async open(id) {
    const row = document.getElementById(id)
    if (row !== null) {
      const button = row.querySelector('button')
      if (button.getAttribute('aria-expanded') === 'false') button.click()
      button.focus()
      return
    }
    this.#form.elements.namedItem('text').value = id
    await this.start()
    this.#list.querySelector('button')?.click()
  }

  #query() {
    const given = [...new FormData(this.#form)].filter(([, value]) => value.trim() !== '')
    return new URLSearchParams(given.map(([name, value]) => [name, value.trim()])).toString()
  }

  #listen(query) {
    this.#isLoaded = false
    const stream = new EventSource(`/decisions?${query}`)
    this.#stream = stream
    stream.addEventListener('decision', (event) => this.#take(JSON.parse(event.data)))
    stream.addEventListener('skipped', (event) => {
      this.#skipped += JSON.parse(event.data).count
      this.#tell()
    })
    stream.addEventListener('epoch', () => this.#onEpoch())
    stream.addEventListener('open', () => this.#tell())
    stream.addEventListener('error', () => this.#tell())
    stream.addEventListener('full', () => stream.close())
  }

  #take(decision) {
    if (!this.#isLoaded || this.#isPaused) this.#held.push(decision)
    else this.#show(decision)
    if (this.#held.length > mostShown) this.#held.shift()
    this.#tell()
  }

  #show(decision) {
    if (document.getElementById(decision.id) !== null) return
    this.#list.prepend(this.#row(decision))
    while (this.#list.children.length > mostShown) this.#list.lastElementChild.remove()
  }

  #togglePause() {
    const pauses = !this.#isPaused
    this.#pause.setAttribute('aria-pressed', String(pauses))
    this.#pause.textContent = pauses ? 'Go on' : 'Pause'
    if (!pauses) for (const decision of this.#held.splice(0)) this.#show(decision)
    this.#tell()
  }

  /** A page that nobody sees asks for nothing. */
  #onVisibility() {
    if (document.hidden) this.#stream?.close()
    else if (this.#stream?.readyState === EventSource.CLOSED) void this.start()
  }

  #tell() {
    this.#none.hidden = this.#list.children.length > 0
    const skipped = this.#skipped > 0 ? `, ${this.#skipped} too fast to show` : ''
    const state = this.#isPaused
      ? `${this.#held.length} new`
      : this.#stream?.readyState === EventSource.OPEN
        ? 'live'
        : 'not connected'
    const text = state + skipped
    if (this.#live.textContent !== text) this.#live.textContent = text
  }

  #row(decision) {
    const { id, outcome, reason, product, outboundTo } = decision
    const panel = element('div', { class: 'panel', id: `${id}-why`, hidden: true })
    const button = element(
      'button',
      { type: 'button', class: 'line', 'aria-expanded': 'false', 'aria-controls': `${id}-why` },
      element('span', { class: 'when' }, moment(decision.time)),
      tag(outcome, outcome),
      element('span', { class: 'reason' }, reason),
      element('span', { class: 'product' }, product ?? (outboundTo ? `to ${outboundTo}` : '–')),
      element('span', { class: 'who mono' }, whoOf(decision)),
      element('span', { class: 'asked mono' }, askedOf(decision)),
    )
    button.addEventListener('click', () => void toggle(button, panel, id))
    return element('li', { id, class: outcome }, button, panel)
  }
}

function whoOf({ principal, claims, apiKeyId, client }) {
  if (principal !== undefined) return principal
  if (claims !== undefined) return `claims ${claims}`
  return apiKeyId ?? `from ${client}`
}

function askedOf({ method, path, protocol }) {
  return method === undefined ? protocol : `${method} ${path}`
}

async function toggle(button, panel, id) {
  const opens = button.getAttribute('aria-expanded') === 'false'
  button.setAttribute('aria-expanded', String(opens))
  panel.hidden = !opens
  if (!opens) return
  const reply = await fetch(`/decisions/${encodeURIComponent(id)}`).catch(() => undefined)
  if (reply?.ok === true) panel.replaceChildren(renderExplanation(await reply.json()))
  else panel.replaceChildren(element('p', { class: 'empty' }, 'This decision is no longer held.'))
}
