import { duration, element, empty, mono, moment, replaceKept, table, tag } from './elements.js'

/** Shows everything but the decisions. */
export function renderStatus(status) {
  summary(status)
  fill('products', status.products.map(product), 'The product map is empty.', {
    shown: status.products.length,
    all: status.productCount,
  })
  fill('keys', keys(status.keys), 'There are no API keys.', {
    shown: status.keys.length,
    all: status.keyCount,
  })
  fill('trust', trust(status), 'No bundle is held.')
  fill('connections', connections(status.connections), 'Nobody is connected.', {
    shown: status.connections.length,
    all: status.connectionCount,
  })
  fill('outbound', outbound(status.outbound), 'The workload calls nobody through this sidecar.', {
    shown: status.outbound.length,
    all: status.outboundCount,
  })
  fill('epochs', [epochs(status)], '')
}

export function renderMigration(view) {
  const since = element(
    'p',
    { class: 'muted' },
    'Uses are counted since ',
    moment(view.countedSince),
    `; without one for ${view.quietDays} days a consumer counts as moved.`,
  )
  const shown = view.products.map(migration)
  fill('migration', shown.length === 0 ? [] : [since, ...shown], 'No product takes API keys.')
}

const lastShown = new Map()

/** A section is made anew only when it says something new. */
function fill(id, content, whenEmpty, count) {
  const place = document.querySelector(`#${id} .body`)
  const parts = content.length === 0 ? [empty(whenEmpty)] : content
  if (count !== undefined && count.all > count.shown) {
    parts.push(element('p', { class: 'muted' }, `${count.all - count.shown} more are not shown.`))
  }
  const copy = element('div', {}, ...parts)
  for (const time of copy.querySelectorAll('time')) time.textContent = ''
  if (lastShown.get(id) === copy.textContent + dates(copy)) return
  lastShown.set(id, copy.textContent + dates(copy))
  for (const time of copy.querySelectorAll('time')) time.replaceWith(moment(time.dateTime))
  replaceKept(place, ...copy.childNodes)
}

function dates(place) {
  return [...place.querySelectorAll('time')].map(({ dateTime }) => dateTime).join()
}

function summary(status) {
  const { identity, files } = status
  const refused = files.filter(({ error }) => error !== undefined)
  document
    .getElementById('summary')
    .replaceChildren(
      element(
        'div',
        { class: 'who' },
        element('span', { class: 'label' }, 'We are'),
        element('strong', { class: 'mono' }, identity.spiffeId ?? 'nobody yet'),
        validity(identity),
      ),
      fact('Callers come to', mono(status.listen), `workload at ${status.upstream}`),
      fact(
        'Epoch',
        String(status.epoch),
        element('span', {}, 'since ', moment(status.epochs[0].time)),
      ),
      fact('Open connections', String(status.connectionCount), ''),
      fact('Started', moment(status.started), source(identity)),
      ...refused.map(({ name, error }) =>
        element(
          'div',
          { class: 'refused' },
          element('strong', {}, `${name} was refused; the last good one serves`),
          element('pre', {}, error),
        ),
      ),
    )
}

function fact(name, value, detail) {
  return element(
    'div',
    { class: 'fact' },
    element('span', { class: 'label' }, name),
    element('strong', {}, value),
    element('span', { class: 'muted' }, detail),
  )
}

function source({ source: address, connected }) {
  if (connected === undefined) return `identity from ${address}`
  return connected ? 'Workload API answers' : 'Workload API does not answer'
}

function validity({ notBefore, notAfter, renewalExpected }) {
  if (notAfter === undefined) return element('span', { class: 'muted' }, 'no SVID is held')
  const begin = Date.parse(notBefore)
  const end = Date.parse(notAfter)
  const left = Math.max(0, end - Date.now())
  const isLate =
    renewalExpected !== undefined && Date.now() > Date.parse(renewalExpected) + left / 2
  const meter = element('progress', {
    max: Math.max(1, end - begin),
    value: left,
    class: left === 0 ? 'over' : isLate ? 'late' : '',
    'aria-label': 'time left of our SVID',
  })
  const words = left === 0 ? 'expired ' : 'valid '
  return element(
    'span',
    { class: 'validity' },
    meter,
    element(
      'span',
      { class: 'muted' },
      words,
      left === 0 ? moment(notAfter) : `for ${duration(Math.floor(left / 1_000))}`,
      renewalExpected === undefined ? '' : ', renewal expected ',
      renewalExpected === undefined ? '' : moment(renewalExpected),
    ),
  )
}

function product(one) {
  const { callers, callerCount, rules, ruleCount } = one
  const modes = [
    one.apiKeys === 'refuse' ? undefined : `keys: ${one.apiKeys}`,
    one.require === 'any' ? undefined : `requires ${one.require}`,
    one.limit,
  ].filter((text) => text !== undefined)
  return element(
    'details',
    { 'data-key': `product ${one.name}` },
    element(
      'summary',
      {},
      element('b', {}, one.name),
      element('span', { class: 'muted' }, one.description ?? ''),
      ...modes.map((text) => tag(text)),
      element(
        'span',
        { class: 'end' },
        callerCount === 0 ? 'nobody yet' : plural(callerCount, 'caller'),
        callerCount === 0 ? '' : ', last ',
        callerCount === 0 ? '' : moment(callers[0].lastSeen),
      ),
    ),
    callers.length === 0
      ? empty('Nobody has called for this product yet.')
      : table(
          ['caller', 'credential', 'allowed', 'denied', 'first seen', 'last seen'],
          callers.map((caller) => [
            mono(caller.principal),
            caller.credential,
            String(caller.allowed),
            String(caller.denied),
            moment(caller.firstSeen),
            moment(caller.lastSeen),
          ]),
        ),
    rules.length === 0
      ? undefined
      : table(
          ['who may call', 'line'],
          rules.map(({ rule, position }) => [mono(rule), fileName(position)]),
        ),
    ruleCount > rules.length ? empty(`${ruleCount - rules.length} more rules`) : undefined,
    one.requests &&
      table(
        ['what may be asked'],
        one.requests.map((text) => [mono(text)]),
      ),
  )
}

function keys(list) {
  if (list.length === 0) return []
  return [
    table(
      ['key', 'consumer', 'product', 'state', 'last used', 'allowed', 'denied', 'ends'],
      list.map((key) => [
        mono(key.id),
        key.consumer,
        key.product,
        tag(key.state, key.state === 'valid' ? 'allow' : 'skip'),
        moment(key.lastSeen),
        String(key.allowed),
        String(key.denied),
        key.expires === undefined ? 'never' : moment(key.expires),
      ]),
    ),
  ]
}

function migration(one) {
  const { consumers, certificates, breakCount } = one
  return element(
    'details',
    { 'data-key': `migration ${one.product}` },
    element(
      'summary',
      {},
      element('b', {}, one.product),
      tag(`keys: ${one.apiKeys}`),
      element(
        'span',
        { class: 'end' },
        breakCount === 0 ? 'no key in use' : `${breakCount} still on keys`,
      ),
    ),
    element('p', { class: breakCount === 0 ? '' : 'fault' }, sentence(one.ifRefused)),
    one.atItsEnd && element('p', {}, sentence(one.atItsEnd)),
    consumers.length === 0
      ? undefined
      : table(
          ['consumer', 'last key use', 'requests', 'keys', 'state'],
          consumers.map((consumer) => [
            consumer.consumer,
            moment(consumer.lastKeyUse),
            String(consumer.allowed),
            mono(consumer.keys.map(({ id }) => id).join(', ')),
            consumer.stillUsesKeys ? tag('uses keys', 'skip') : tag('quiet', 'allow'),
          ]),
        ),
    certificates.length === 0
      ? undefined
      : table(
          ['comes with a certificate', 'credential', 'requests', 'last seen'],
          certificates.map((caller) => [
            mono(caller.principal),
            caller.credential,
            String(caller.allowed),
            moment(caller.lastSeen),
          ]),
        ),
  )
}

function trust({ trustDomains, authorities }) {
  return [
    ...trustDomains.map((domain) =>
      anchors(`domain ${domain.name}`, domain, [
        element('b', {}, domain.name),
        tag(domain.own ? 'our trust domain' : 'federated'),
      ]),
    ),
    ...authorities.map((authority) =>
      anchors(`authority ${authority.alias}`, authority, [
        element('b', {}, authority.alias),
        tag('authority'),
        authority.trustDomain && tag(`speaks for ${authority.trustDomain}`),
        fileName(authority.position),
      ]),
    ),
  ]
}

function anchors(key, { anchors: list, anchorCount }, title) {
  const last = list
    .map(({ notAfter }) => notAfter)
    .sort()
    .at(-1)
  return element(
    'details',
    { 'data-key': key },
    element(
      'summary',
      {},
      ...title.filter((part) => part !== undefined),
      element(
        'span',
        { class: 'end' },
        plural(anchorCount, 'anchor'),
        last === undefined ? '' : ', last ends ',
        last === undefined ? '' : moment(last),
      ),
    ),
    table(
      ['anchor', 'ends', 'sha256'],
      list.map((one) => [
        one.subject || 'no name',
        moment(one.notAfter),
        mono(one.sha256.slice(0, 16)),
      ]),
    ),
  )
}

function connections(list) {
  if (list.length === 0) return []
  return [
    table(
      ['from', 'protocol', 'opened', 'product', 'caller'],
      list.map(({ client, protocol, opened, product: name, principal }) => [
        client,
        protocol,
        moment(opened),
        name ?? '–',
        principal === undefined ? 'has asked for nothing yet' : mono(principal),
      ]),
    ),
  ]
}

function outbound(list) {
  if (list.length === 0) return []
  return [
    table(
      ['listens on', 'calls', 'which must be', 'open', 'last failure'],
      list.map(({ listen, upstream, expect, connections: open, lastFailure }) => [
        mono(listen),
        mono(upstream),
        mono(expect),
        String(open),
        lastFailure === undefined ? '–' : failure(lastFailure),
      ]),
    ),
  ]
}

function failure({ time, reason, detail }) {
  return element('span', {}, element('b', {}, reason), ' ', moment(time), ` ${detail}`)
}

function epochs(status) {
  return element(
    'ol',
    { class: 'epochs' },
    ...status.epochs.map(({ epoch, time, changes }) =>
      element(
        'li',
        {},
        element('b', {}, String(epoch)),
        moment(time),
        element('ul', {}, ...changes.map((text) => element('li', {}, text))),
      ),
    ),
  )
}

function fileName(position) {
  const text = position.slice(position.lastIndexOf('/') + 1)
  return element('span', { class: 'mono muted', title: position }, text)
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`.replace(/^ApiKeys/, 'apiKeys')
}
