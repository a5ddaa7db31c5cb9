import { Decisions } from './decisions.js'
import { tick } from './elements.js'
import { renderMigration, renderStatus } from './status.js'

const refreshEveryMs = 5_000

const state = document.getElementById('state')
const notice = document.getElementById('notice')
const decisions = new Decisions({ onEpoch: () => void refresh() })

/** Asks again for everything but the decisions. A sidecar that is gone is told, and asked again. */
async function refresh() {
  try {
    const [status, migration] = await Promise.all([getJson('/status'), getJson('/migration')])
    showState(status)
    renderStatus(status)
    renderMigration(migration)
    decisions.offerProducts(status.products.map(({ name }) => name).sort())
  } catch {
    state.textContent = 'does not answer'
    state.className = 'pill deny'
  }
}

function showState({ ready, missing, version }) {
  const text = ready ? 'ready' : `not ready: ${missing.join(', ')}`
  if (state.textContent !== text) state.textContent = text
  state.className = `pill ${ready ? 'allow' : 'deny'}`
  document.getElementById('version').textContent = version
}

async function getJson(path) {
  const reply = await fetch(path)
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`)
  return reply.json()
}

/** Reads the files again, with the token that only a page of this origin can have. */
async function reload() {
  try {
    const { token } = await getJson('/token')
    const reply = await fetch('/reload', { method: 'POST', headers: { 'x-postern-token': token } })
    const { files, detail } = await reply.json()
    const refused =
      files?.filter(({ result }) => result === 'refused').map(({ name }) => name) ?? []
    if (!reply.ok) say(detail)
    else if (refused.length > 0) say(`Refused: ${refused.join(', ')}. The last good one serves.`)
    else say('The files were read again.')
  } catch {
    say('The sidecar does not answer.')
  }
  await refresh()
}

function say(text) {
  notice.textContent = text
  notice.hidden = false
}

document.getElementById('reload').addEventListener('click', () => void reload())
globalThis.addEventListener('hashchange', () => openFromHash())

function openFromHash() {
  const id = decodeURIComponent(location.hash.slice(1))
  if (/^d_[\w-]{1,100}$/.test(id)) void decisions.open(id)
}

setInterval(tick, 1_000)
setInterval(() => {
  if (!document.hidden) void refresh()
}, refreshEveryMs)
await Promise.all([refresh(), decisions.start()])
openFromHash()
