import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  defaultSettings,
  readSetting,
  type SettingKey,
  settingList,
  type Settings,
} from '../injector/pod/settings.ts'
import { messageOf } from '../core/errors.ts'
import { version } from './version.ts'
import type { Platform } from '../injector/pod/plan.ts'

/** The flags of `inject` and `webhook` that say how a sidecar is to be. */
export type InjectionFlags = Partial<Settings> & {
  /** The minor number of the version. */
  readonly kubernetesVersion: number
}

/** One flag for each setting that a pod's annotation can say too, and the version of the cluster. */
export function addInjectionFlags(command: Command): Command {
  command.addOption(
    new Option('--kubernetes-version <version>', 'of the cluster; from 1.29 on a native sidecar')
      .argParser(kubernetesVersion)
      .default(Infinity, 'the newest'),
  )
  for (const setting of settingList) {
    const { name, argument } = setting
    const flag = argument === undefined ? `--${name}` : `--${name} ${argument}`
    const meaning = setting.meaning.replaceAll('`', '')
    const option = new Option(flag, meaning)
    if (argument !== undefined) {
      option.argParser((text) => {
        try {
          return readSetting(setting, text)
        } catch (thrown) {
          throw new InvalidArgumentError(`${messageOf(thrown)}.`)
        }
      })
      if (setting.default !== undefined) {
        option.default(defaultSettings[setting.key], setting.default)
      }
    }
    command.addOption(option)
  }
  return command
}

/** What the flags say, over the defaults. */
export function settingsOf(flags: InjectionFlags): Settings {
  const said = settingList
    .map(({ key }): [SettingKey, unknown] => [key, flags[key]])
    .filter(([, value]) => value !== undefined)
  return { ...defaultSettings, ...(Object.fromEntries(said) as Partial<Settings>) }
}

export function platformOf({ kubernetesVersion: minor }: InjectionFlags): Platform {
  return { hasNativeSidecars: minor >= 29, version: version() }
}

function kubernetesVersion(text: string): number {
  const [, minor] = /^v?1\.([0-9]{1,3})(?:[.+-][\w.+-]*)?$/.exec(text) ?? []
  if (minor !== undefined) return Number(minor)
  throw new InvalidArgumentError('expected a version of Kubernetes such as 1.34.')
}
