import type { RefusedRequest } from './ends.ts'

/** Answers to callers that do not go on with what they began. */
export const slowHead: RefusedRequest = {
  status: 408,
  code: 'head_too_slow',
  detail: 'the head did not arrive in time',
}

export const slowBody: RefusedRequest = {
  status: 408,
  code: 'body_too_slow',
  detail: 'the body stopped arriving',
}
