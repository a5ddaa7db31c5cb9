import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { systemClock } from '../../../src/core/clock.ts'
import { commandsToTry } from '../../../src/dev/demo/commands-to-try.ts'
import { DemoFiles } from '../../../src/dev/demo/demo-files.ts'
import { temporaryFolder } from '../../workload-api/support/temporary-folder.ts'

describe('commandsToTry', () => {
  const folder = temporaryFolder()

  it('quotes paths for a shell and shows no key', async () => {
    const directory = folder.path("it's $HOME here")
    mkdirSync(directory)
    const files = await DemoFiles.create(directory, systemClock)

    const commands = commandsToTry({ files, port: 8443, healthPort: 9902 }, ['postern'])

    const withKey = commands.find((line) => line.includes('-H @')) ?? ''
    const words = execFileSync('sh', ['-c', `for word in ${withKey}; do echo "$word"; done`])
    assert.ok(words.toString().split('\n').includes(`@${directory}/api-key-good`))
    assert.ok(!commands.join('\n').includes(await files.apiKey('good')))
  })
})
