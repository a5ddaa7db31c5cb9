/** One instruction of a Dockerfile. */
export interface Instruction {
  readonly name: string
  /** `--from=build` as `from`: `build`. */
  readonly flags: Readonly<Record<string, string>>
  /** Everything behind the flags, on one line. */
  readonly text: string
}

/** What begins with a FROM. */
export interface Stage {
  readonly base: string
  readonly name: string
  readonly instructions: readonly Instruction[]
}

/** The stages of a Dockerfile. Throws for what this reader does not know: here-documents, an instruction before FROM, another escape. */
export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { base: string; name: string; instructions: Instruction[] }[] = []
  for (const line of logicalLines(text)) {
    const instruction = parseInstruction(line)
    if (instruction.name === 'FROM') {
      const [base = '', as, name] = instruction.text.split(/\s+/)
      if (as?.toUpperCase() !== 'AS' || name === undefined) throw new Error(`no name: ${line}`)
      stages.push({ base, name, instructions: [] })
      continue
    }
    const stage = stages.at(-1)
    if (stage === undefined) throw new Error(`before the first FROM: ${line}`)
    stage.instructions.push(instruction)
  }
  return stages
}

/** Comments stand on lines of their own, also between continued ones. */
function logicalLines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n')
    .replace(/\\\n\s*/g, '')
    .split('\n')
}

function parseInstruction(line: string): Instruction {
  const [, name = '', rest = ''] = /^\s*([A-Z]+)\s+(.*?)\s*$/.exec(line) ?? []
  if (name === '' || rest.includes('<<')) throw new Error(`not understood: ${line}`)
  const flags: Record<string, string> = {}
  let text = rest
  for (;;) {
    const flag = /^--([a-z-]+)=(\S+)\s+/.exec(text)
    if (flag === null) return { name, flags, text }
    flags[flag[1] ?? ''] = flag[2] ?? ''
    text = text.slice(flag[0].length)
  }
}

/** The words of the exec form: a list in JSON. Undefined: it is the shell form. */
export function execForm(text: string): readonly string[] | undefined {
  if (!text.startsWith('[')) return undefined
  const words: unknown = JSON.parse(text)
  if (!Array.isArray(words) || !words.every((word) => typeof word === 'string')) {
    throw new Error(`not a list of strings: ${text}`)
  }
  return words
}

/** Whether a path of the build context, with `/`, is sent to the engine. The last pattern that fits decides. */
export function dockerIgnore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const isException = line.startsWith('!')
      return { isException, pattern: patternOf(isException ? line.slice(1) : line) }
    })
  return (path) => rules.findLast(({ pattern }) => pattern.test(path))?.isException ?? true
}

/** A pattern also stands for everything below what it names. */
function patternOf(glob: string): RegExp {
  if (glob.includes('**')) throw new Error(`not understood: ${glob}`)
  const source = glob
    .replace(/^\/|\/$/g, '')
    .replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]')
  return new RegExp(`^${source}(/.*)?$`)
}
