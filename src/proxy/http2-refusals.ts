import { type RefusedHead, type RequestRefusal, requestRefusals } from '../http2/request-head.ts'
import { isGrpc } from './auto-upstream.ts'
import type { RefusedRequest } from './ends.ts'

const details: Readonly<Record<RequestRefusal, string>> = {
  authority_missing: 'the request names no authority',
  authority_malformed: 'the authority is no host with an optional port',
  authority_host_mismatch: 'Host says something else than the authority',
  host_repeated: 'there is more than one Host',
  method_refused: 'this method is not allowed here',
  path_too_long: 'the path is longer than the limit',
  header_list_too_large: 'the header fields are more, or longer, than the limit',
}

/** The answer to a request of HTTP/2 that is refused for its head. */
export function refusedRequest(refusal: RequestRefusal, head: RefusedHead): RefusedRequest {
  return {
    status: requestRefusals[refusal],
    code: refusal,
    detail: details[refusal],
    isGrpc: isGrpc(head.fields),
  }
}
