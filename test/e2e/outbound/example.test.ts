import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { runProgram } from '../support/programs.ts'

const script = fileURLToPath(new URL('../../../examples/two-sidecars/run.mjs', import.meta.url))

describe('examples/two-sidecars', () => {
  it('does what its README says', async function () {
    this.timeout(120_000)
    const { code, stdout, stderr } = await runProgram(process.execPath, [script], {
      timeoutMs: 110_000,
    })

    assert.equal(code, 0, stdout + stderr)
    const text = Buffer.from(stdout, 'latin1').toString()
    assert.equal(text.match(/✔/g)?.length, 3, text)
  })
})
