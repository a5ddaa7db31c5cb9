import { type CST, Lexer, type Parser } from 'yaml'

/** Where reading stopped: what comes after it means nothing. */
export class Excess extends Error {
  readonly offset: number

  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}

/** Sixteen MiB of YAML as people write it have about half as many. */
const mostLexemes = 10_000_000

/**
 * The tokens of a text, with nesting and number bounded: a megabyte of `[` would take the library ten seconds, and sixteen of
 * them all memory. Throws `Excess`.
 */
export function* boundedTokens(
  text: string,
  parser: Parser,
  deepestNesting: number,
): Generator<CST.Token> {
  // The parser's own stack: a document and its collections, with room for what it opens on the way.
  const deepestStack = 4 * deepestNesting
  let lexemes = 0
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme)
    if (parser.stack.length > deepestStack) {
      const message = `is nested too deeply, expected at most ${deepestNesting} levels`
      throw new Excess(parser.offset, message)
    }
    if (++lexemes > mostLexemes) {
      throw new Excess(parser.offset, `holds more than ${mostLexemes} pieces`)
    }
  }
  yield* parser.end()
}
