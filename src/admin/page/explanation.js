import { element, mono, table, tag } from './elements.js'

/** Everything that led to one decision. */
export function renderExplanation(view) {
  const { decision, rules, otherRules, requests, note } = view
  return element(
    'div',
    { class: 'explanation' },
    note && element('p', { class: 'note' }, note),
    facts(view),
    part('Steps', steps(decision.steps)),
    part('Certificates', certificates(view)),
    part('Rules of the product map', ruleTable(rules, otherRules)),
    part('Requests of the product', requestTable(requests)),
  )
}

function part(title, content) {
  return content && element('div', { class: 'part' }, element('h4', {}, title), content)
}

function facts({ made, request, caller, decision }) {
  const rows = [
    ['Decision', made && mono(made.id)],
    ['Time', made?.time],
    ['From', made && `${made.client}, ${made.protocol}`],
    ['Call of the workload', made?.direction === 'outbound' ? decision.upstream : undefined],
    ['Request', request && mono(`${request.method} ${request.host}${request.path}`)],
    [
      'Claims to be',
      caller.claimed && mono(caller.claimed.spiffeId ?? caller.claimed.subject ?? ''),
    ],
    ['Principal', decision.principal && mono(decision.principal)],
    ['Product', decision.product],
    ['Rule', decision.rule && mono(decision.rule)],
    ['Consumer', decision.consumer],
    ['Key', decision.apiKeyId && mono(decision.apiKeyId)],
    ['Reason before', made?.previousReason],
    ['Epoch', String(decision.epoch)],
  ].filter(([, value]) => value !== undefined && value !== '')
  return element(
    'dl',
    { class: 'facts' },
    ...rows.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  )
}

function steps(list) {
  return element(
    'ol',
    { class: 'steps' },
    ...list.map(({ name, outcome, detail }) =>
      element(
        'li',
        { class: outcome },
        tag(outcome, outcome),
        element('b', {}, name),
        element('span', {}, detail),
      ),
    ),
  )
}

function certificates({ caller, judgedBy = [] }) {
  const { path = [], claimed, fault } = caller
  const shown = path.map((one, i) => [
    i === 0 ? 'leaf' : i === path.length - 1 ? 'anchor' : 'intermediate',
    one.subject || 'no name',
    one.notAfter,
    mono(one.sha256.slice(0, 16)),
  ])
  if (claimed !== undefined) {
    const issuer = claimed.issuer ? `, issued by ${claimed.issuer}` : ''
    shown.push([
      'presented',
      element('span', {}, `${claimed.subject || 'no name'}${issuer}`),
      claimed.notAfter ?? '',
      mono((claimed.sha256 ?? '').slice(0, 16)),
    ])
  }
  for (const { name, anchors } of judgedBy) {
    if (anchors.length === 0) shown.push([`had to vouch: ${name}`, 'holds no anchor', '', ''])
    for (const one of anchors) {
      const digest = mono(one.sha256.slice(0, 16))
      shown.push([`had to vouch: ${name}`, one.subject || 'no name', one.notAfter, digest])
    }
  }
  if (shown.length === 0) return undefined
  return element(
    'div',
    {},
    fault && element('p', { class: 'fault' }, fault),
    table(['what', 'subject', 'until', 'sha256'], shown),
  )
}

function ruleTable(rules, otherRules) {
  const rest =
    otherRules > 0
      ? `${otherRules} ${otherRules === 1 ? 'rule has' : 'rules have'} nothing to do with this caller.`
      : undefined
  if (rules.length === 0) return rest && element('p', { class: 'muted' }, rest)
  const rows = rules.map(({ result, product, rule, why, position }) => [
    tag(result, result),
    product,
    mono(rule),
    why,
    place(position),
  ])
  return element(
    'div',
    {},
    table(['result', 'product', 'rule', 'why', 'line'], rows),
    rest && element('p', { class: 'muted' }, rest),
  )
}

function requestTable(requests) {
  if (requests.length === 0) return undefined
  const rows = requests.map(({ matches, why, position }) => [
    tag(matches ? 'matches' : 'no-match', matches ? 'won' : ''),
    why,
    place(position),
  ])
  return table(['result', 'why', 'line'], rows)
}

/** The name of the file without its folder; all of it on hover. */
function place({ file, line, column }) {
  const name = file.slice(file.lastIndexOf('/') + 1)
  return element('span', { class: 'mono', title: file }, `${name}:${line}:${column}`)
}
