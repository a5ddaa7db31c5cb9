import type { ReplySink } from '../../../src/proxy/ends.ts'

/** Writes a whole reply with a text. Returns its status. */
export function answer(
  reply: ReplySink,
  status: number,
  text: string,
  options: { readonly closeAfter?: boolean; readonly fields?: readonly string[] } = {},
): number {
  const body = Buffer.from(text)
  reply.replyHead({
    status,
    reason: '',
    fields: options.fields ?? [],
    length: body.length,
    connectionOptions: [],
    closeAfter: options.closeAfter === true,
  })
  reply.replyData(body)
  reply.replyEnd([])
  return status
}
