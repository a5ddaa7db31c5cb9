import assert from 'node:assert/strict'
import type { Paint } from '../../../src/dev/demo/paint.ts'
import type { Row } from '../../../src/dev/demo/play.ts'
import { renderTable } from '../../../src/dev/demo/table.ts'

const plain: Paint = (_style, text) => text

const right: Row = {
  call: { caller: 'key', expected: { status: '200', reason: 'api_key', product: 'reports' } },
  status: '200',
  product: 'reports',
  principal: 'acme',
  reason: 'api_key',
  decisionId: 'd_1',
  isRight: true,
}

describe('renderTable', () => {
  it('puts a tick before what is right', () => {
    const lines = renderTable([{ heading: 'all', rows: [right] }], plain)

    assert.deepEqual(lines, [
      'all',
      '',
      '    caller  status  product  principal  reason',
      '  ✔ key     200     reports  acme       api_key',
      '',
    ])
  })

  it('puts a cross before what is wrong, and says what was expected', () => {
    const wrong: Row = { ...right, status: '403', product: '-', isRight: false }

    const lines = renderTable([{ heading: 'all', rows: [right, wrong] }], plain)

    assert.equal(lines[4], '  ✘ key     403     -        acme       api_key')
    assert.equal(lines[5], '    key: expected 200, reports, -, api_key')
  })

  it('aligns all groups alike', () => {
    const wide: Row = { ...right, principal: 'spiffe://corp.example/client' }
    const groups = [
      { heading: 'one', rows: [right] },
      { heading: 'two', rows: [wide] },
    ]

    const columns = renderTable(groups, plain)
      .filter((line) => line.startsWith('  ✔'))
      .map((line) => line.indexOf('api_key'))

    assert.equal(columns[0], columns[1])
  })

  it('paints only marks, header and expectations', () => {
    const paint: Paint = (style, text) => `<${style}>${text}</>`

    const lines = renderTable([{ heading: 'all', rows: [right] }], paint)

    assert.equal(lines[3], '  <green>✔</> key     200     reports  acme       api_key')
  })
})
