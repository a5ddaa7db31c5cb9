import { PosternError } from '../core/errors.ts'
import { withoutApiKeys } from '../policy/api-key.ts'

/** One thing that is wrong in a file or in the environment. */
export interface Problem {
  /** `file:line:column`, the file alone, or the name of an environment variable. */
  readonly where: string
  /** `inbound.listen`, `products.payments.callers[0]`; '' for the whole file. */
  readonly path: string
  /** What is wrong and what is expected. Never a secret. */
  readonly message: string
}

/** A bad file: every problem at once. Code ERR_CONFIG_INVALID; the message holds one problem to a line. */
export class ConfigError extends PosternError {
  /** At least one, in the order of their lines. */
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const ordered = inFileOrder(problems).map(withoutKeys)
    super('ERR_CONFIG_INVALID', describeProblems(ordered))
    this.problems = ordered
  }
}

/** A key may stand where a name belongs, and names are shown. */
function withoutKeys({ where, path, message }: Problem): Problem {
  return { where, path: withoutApiKeys(path), message: withoutApiKeys(message) }
}

/** Stable; problems without a place come first. */
function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const placed = problems.map((problem) => ({ problem, place: placeOf(problem.where) }))
  placed.sort((a, b) => a.place[0] - b.place[0] || a.place[1] - b.place[1])
  return placed.map(({ problem }) => problem)
}

function placeOf(where: string): readonly [line: number, column: number] {
  const [, line, column] = /:([0-9]+):([0-9]+)$/.exec(where) ?? []
  return [Number(line ?? 0), Number(column ?? 0)]
}

/** `file:line:column: path: what is wrong, what is expected`. */
export function formatProblem(problem: Problem): string {
  const { where, path, message } = withoutKeys(problem)
  return path === '' ? `${where}: ${message}` : `${where}: ${path}: ${message}`
}

/** More lines than this help nobody; the rest is counted. */
const mostShown = 100

function describeProblems(problems: readonly Problem[]): string {
  const shown = problems.slice(0, mostShown).map(formatProblem)
  const rest = problems.length - shown.length
  return rest === 0 ? shown.join('\n') : `${shown.join('\n')}\nand ${rest} more`
}
