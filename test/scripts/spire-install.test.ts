import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const script = join(import.meta.dirname, '../../spire/install')

describe('spire/install', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-spire-install-'))
    mkdirSync(join(folder, 'path'))
    putProgram('path/uname', 'if [ "$1" = -m ]; then echo x86_64; else echo Linux; fi')
    makeRelease()
  })

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true })
  })

  it('takes SPIRE_BIN first', () => {
    putSpire('own')
    putSpire('path')

    const { stdout, stderr } = install({ SPIRE_BIN: join(folder, 'own') })

    assert.equal(stdout.trim(), join(folder, 'own'))
    assert.match(stderr, /\(SPIRE_BIN\)/)
  })

  it('refuses a SPIRE_BIN that does not hold SPIRE, instead of looking further', () => {
    putSpire('path')

    const { status, stdout } = install({ SPIRE_BIN: join(folder, 'nothing') })

    assert.equal(status, 1)
    assert.equal(stdout, '')
  })

  it('takes what PATH holds', () => {
    putSpire('path')

    const { stdout, stderr } = install({})

    assert.equal(stdout.trim(), join(folder, 'path'))
    assert.match(stderr, /\(PATH\)/)
  })

  it('downloads the official release once, when its published checksum is right', () => {
    putCurl({ checksum: digestOfRelease() })

    const first = install({})
    rmSync(join(folder, 'path/curl'))
    const second = install({})

    assert.equal(first.status, 0, first.stderr)
    assert.equal(first.stdout.trim(), join(folder, 'cache/spire-1.15.1/bin'))
    assert.ok(existsSync(join(first.stdout.trim(), 'spire-agent')))
    assert.equal(second.stdout, first.stdout)
  })

  it('refuses a release with a wrong checksum and keeps nothing of it', () => {
    putCurl({ checksum: '0'.repeat(64) })

    const { status, stdout } = install({})

    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.ok(!existsSync(join(folder, 'cache/spire-1.15.1')))
  })

  it('prefers the checksum that it was given to the published one', () => {
    putCurl({ checksum: digestOfRelease() })

    assert.equal(install({ SPIRE_SHA256: '0'.repeat(64) }).status, 1)
    assert.equal(install({ SPIRE_SHA256: digestOfRelease() }).status, 0)
  })

  it('says what was tried when the network refuses', () => {
    putProgram('path/curl', 'echo "curl: (6) Could not resolve host: github.com" >&2; exit 6')

    const { status, stderr } = install({})

    assert.equal(status, 1)
    assert.match(stderr, /Could not resolve host/)
    assert.match(stderr, /SPIRE_BIN is not set/)
    assert.match(stderr, /releases\/download\/v1\.15\.1\/spire-1\.15\.1-linux-amd64-musl\.tar\.gz/)
  })

  function putProgram(path: string, code: string): void {
    writeFileSync(join(folder, path), `#!/bin/sh\n${code}\n`, { mode: 0o755 })
  }

  function putSpire(path: string): void {
    mkdirSync(join(folder, path), { recursive: true })
    for (const name of ['spire-server', 'spire-agent']) putProgram(join(path, name), 'exit 0')
  }

  /** An archive of the official one's form. */
  function makeRelease(): void {
    putSpire('spire-1.15.1/bin')
    const options = ['-czf', join(folder, 'release.tar.gz'), '-C', folder, 'spire-1.15.1']
    assert.equal(spawnSync('tar', options).status, 0)
  }

  function digestOfRelease(): string {
    return createHash('sha256')
      .update(readFileSync(join(folder, 'release.tar.gz')))
      .digest('hex')
  }

  /** curl with the two files of the release, in place of the network. */
  function putCurl({ checksum }: { readonly checksum: string }): void {
    const release = join(folder, 'release.tar.gz')
    putProgram(
      'path/curl',
      `while [ $# -gt 1 ]; do [ "$1" = --output ] && out="$2"; shift; done
       case "$1" in
         *.tar.gz) cp ${release} "$out" ;;
         *_sha256sum.txt) echo "${checksum}  spire.tar.gz" > "$out" ;;
         *) exit 22 ;;
       esac`,
    )
  }

  function install(environment: Readonly<Record<string, string>>) {
    const env = {
      PATH: `${join(folder, 'path')}:/usr/bin:/bin`,
      HOME: folder,
      POSTERN_TOOLS_DIR: join(folder, 'cache'),
      ...environment,
    }
    return spawnSync('bash', [script], { env, encoding: 'utf8', timeout: 60_000 })
  }
})
