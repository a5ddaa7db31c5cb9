import { messageOf } from '../core/errors.ts'
import type { DevAgent } from './dev-agent.ts'

interface Command {
  /** Names of the arguments; one in brackets may be absent. */
  readonly parameters: readonly string[]
  readonly help: string
  /** Resolves with what to print. */
  readonly run: (agent: DevAgent, args: readonly string[]) => Promise<string>
}

/** What a running development agent can be told, one command a line. */
const commands: Readonly<Record<string, Command>> = {
  rotate: {
    parameters: ['TRUST_DOMAIN'],
    help: 'new CA: prepared, then signing; the old root stays in the bundle',
    run: async (agent, [trustDomain = '']) => {
      await agent.rotateCa(trustDomain)
      return `${trustDomain}: the new CA signs, the old one is still in the bundle`
    },
  },
  prepare: {
    parameters: ['TRUST_DOMAIN'],
    help: 'new CA in the bundle, not signing yet',
    run: async (agent, [trustDomain = '']) => {
      await agent.prepareCa(trustDomain)
      return `${trustDomain}: the next CA is in the bundle`
    },
  },
  activate: {
    parameters: ['TRUST_DOMAIN'],
    help: 'let the prepared CA sign and issue fresh SVIDs',
    run: async (agent, [trustDomain = '']) => {
      await agent.activateCa(trustDomain)
      return `${trustDomain}: the new CA signs`
    },
  },
  withdraw: {
    parameters: ['TRUST_DOMAIN'],
    help: 'drop the roots that signed before',
    run: async (agent, [trustDomain = '']) => {
      const count = await agent.withdrawOldCa(trustDomain)
      return `${trustDomain}: ${count} old CA certificates withdrawn`
    },
  },
  renew: {
    parameters: ['[SPIFFE_ID]'],
    help: 'issue fresh SVIDs now, to all without an argument',
    run: async (agent, [spiffeId]) => {
      await agent.renewNow(spiffeId)
      return `${spiffeId ?? 'all SVIDs'}: renewed`
    },
  },
  federate: {
    parameters: ['TRUST_DOMAIN', 'TRUST_DOMAIN'],
    help: 'let two trust domains trust each other',
    run: async (agent, [a = '', b = '']) => {
      await agent.federate(a, b)
      return `${a} and ${b} trust each other`
    },
  },
  defederate: {
    parameters: ['TRUST_DOMAIN', 'TRUST_DOMAIN'],
    help: 'end the trust between two trust domains',
    run: async (agent, [a = '', b = '']) => {
      await agent.defederate(a, b)
      return `${a} and ${b} no longer trust each other`
    },
  },
  add: {
    parameters: ['SPIFFE_ID'],
    help: 'bring a removed identity back',
    run: async (agent, [spiffeId = '']) => {
      await agent.addEntry(spiffeId)
      return `${spiffeId}: added`
    },
  },
  remove: {
    parameters: ['SPIFFE_ID'],
    help: 'withdraw an identity',
    run: async (agent, [spiffeId = '']) => {
      await agent.removeEntry(spiffeId)
      return `${spiffeId}: removed`
    },
  },
  ttl: {
    parameters: ['SECONDS'],
    help: 'set the validity of SVIDs and issue fresh ones',
    run: async (agent, [seconds = '']) => {
      if (!/^[1-9][0-9]{0,7}$/.test(seconds)) throw new RangeError('ttl takes whole seconds')
      await agent.setTtl(Number(seconds) * 1_000)
      return `SVIDs live ${seconds} s`
    },
  },
  stop: {
    parameters: [],
    help: 'close the sockets, as an agent that went down',
    run: async (agent) => {
      await agent.stopServing()
      return 'sockets closed'
    },
  },
  start: {
    parameters: [],
    help: 'open the sockets again',
    run: async (agent) => {
      await agent.startServing()
      return 'sockets open'
    },
  },
  show: {
    parameters: [],
    help: 'list trust domains and identities',
    run: (agent) => Promise.resolve([...agent.trustDomains, ...agent.spiffeIds].join('\n')),
  },
  help: {
    parameters: [],
    help: 'list the commands',
    run: () => Promise.resolve(helpText()),
  },
}

/**
 * Runs one line and resolves, never rejects, with what to print; an empty line prints nothing.
 */
export async function runDevCommand(agent: DevAgent, line: string): Promise<string> {
  const [name, ...args] = line.trim().split(/\s+/)
  if (name === undefined || name === '') return ''
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) return `error: no command ${JSON.stringify(name)}; try help`
  if (!takes(command, args.length)) return `error: usage: ${usage(name, command)}`
  try {
    return await command.run(agent, args)
  } catch (error) {
    return `error: ${messageOf(error)}`
  }
}

function takes(command: Command, count: number): boolean {
  const required = command.parameters.filter((parameter) => !parameter.startsWith('['))
  return count >= required.length && count <= command.parameters.length
}

function usage(name: string, command: Command): string {
  return [name, ...command.parameters].join(' ')
}

function helpText(): string {
  return Object.entries(commands)
    .map(([name, command]) => `${usage(name, command).padEnd(38)} ${command.help}`)
    .join('\n')
}
