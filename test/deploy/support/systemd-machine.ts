import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { once } from 'node:events'

/** What a command within said, and how it ended. */
export interface Said {
  readonly text: string
  readonly code: number
}

export interface SystemdMachineOptions {
  /** The unit, as text. */
  readonly unit: string
  /** A folder whose files stand in `/etc/postern`, for the group `postern` alone. */
  readonly configuration: string
  /** What stands in `/opt/postern/node_modules/postern`. */
  readonly program: string
}

/**
 * A systemd of our own, in namespaces of our own: it sees its own processes, users and folders, and the network of the machine.
 * It is a user manager of root, which needs no machine that systemd has booted, and starts services with the same sandbox.
 * Needs root.
 */
export class SystemdMachine {
  readonly #shell: ChildProcess
  readonly #lines: Interface

  private constructor(shell: ChildProcess, lines: Interface) {
    this.#shell = shell
    this.#lines = lines
  }

  /** Throws what cannot be had on this machine. The caller closes it. */
  static async start({ unit, configuration, program }: SystemdMachineOptions) {
    const shell = spawn('unshare', ['-m', '-p', '-f', '--mount-proc', 'bash', '-uc', script], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        UNIT: unit,
        CONFIGURATION: configuration,
        PROGRAM: program,
      },
    })
    let errors = ''
    shell.stderr.on('data', (chunk) => (errors += String(chunk)))
    const machine = new SystemdMachine(shell, createInterface(shell.stdout))
    const said = await machine.#until()
    if (said.code === 0) return machine
    await machine.close()
    throw new Error(`${said.text}${errors}`)
  }

  /** Runs a line of a shell within. */
  async run(line: string): Promise<Said> {
    this.#shell.stdin?.write(`${line}\n`)
    return this.#until()
  }

  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return
    const ended = once(this.#shell, 'close')
    // Its end is that of the namespace, and of all that runs in it.
    this.#shell.stdin?.end()
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What is printed up to the next answer; code -1 when the shell is gone. */
  #until(): Promise<Said> {
    return new Promise((resolve) => {
      const lines: string[] = []
      const finish = (code: number) => {
        this.#lines.off('line', onLine).off('close', onClose)
        resolve({ text: lines.join('\n'), code })
      }
      const onLine = (line: string) => {
        const [, code] = /^answered (\d+)$/.exec(line) ?? []
        if (code === undefined) lines.push(line)
        else finish(Number(code))
      }
      const onClose = () => finish(-1)
      this.#lines.on('line', onLine).on('close', onClose)
    })
  }
}

/**
 * What systemd finds at a boot and a user manager does not make: its mark that the machine is its own, and the files that it
 * covers others with. State and logs of a user manager are in the home folder, which is put where those of the system are.
 */
const script = String.raw`
prepare() {
  set -e
  mount -t tmpfs tmpfs /run
  mkdir -p /run/systemd/system /run/systemd/inaccessible/dir /run/manager
  touch /run/systemd/inaccessible/reg
  mkfifo /run/systemd/inaccessible/fifo
  mknod /run/systemd/inaccessible/chr c 0 0
  mknod /run/systemd/inaccessible/blk b 0 0
  chmod 000 /run/systemd/inaccessible/*
  for file in passwd group; do
    cp /etc/$file /run/$file
    case $file in
      passwd) echo 'postern:x:8443:8443::/:/usr/sbin/nologin' >> /run/$file ;;
      group) echo 'postern:x:8443:' >> /run/$file ;;
    esac
    mount --bind /run/$file /etc/$file
  done
  mkdir /run/configuration
  cp "$CONFIGURATION"/* /run/configuration
  mount --bind "$PROGRAM" /run/manager
  mount -t tmpfs tmpfs /opt
  mkdir -p /opt/postern/node_modules/postern
  mount --move /run/manager /opt/postern/node_modules/postern
  mkdir -p /etc/postern
  mount -t tmpfs tmpfs /etc/postern
  cp /run/configuration/* /etc/postern
  chown -R root:8443 /etc/postern
  chmod 750 /etc/postern
  chmod 640 /etc/postern/*
  mount -t tmpfs tmpfs /var/lib
  mount -t tmpfs tmpfs /var/log
  mkdir -p /var/lib/systemd/user
  ln -s /var/lib/log/postern /var/log/postern
  printf '%s' "$UNIT" > /var/lib/systemd/user/postern.service
  set +e
}
export HOME=/var/lib XDG_CONFIG_HOME=/var/lib XDG_RUNTIME_DIR=/run/manager
(prepare) >&2 || { echo 'answered 1'; exit; }
/lib/systemd/systemd --user < /dev/null > /dev/null 2>&1 &
for try in $(seq 300); do
  systemctl --user list-units > /dev/null 2>&1 && break
  sleep 0.1
done
systemctl --user list-units > /dev/null
echo "answered $?"
while read -r line; do
  eval "$line" 2>&1
  echo "answered $?"
done
`
