import type { IpAddress } from '../core/ip-address.ts'

/** For whom a balancer connects. */
export interface ProxiedClient {
  readonly address: IpAddress
  readonly port: number
}

/**
 * What the first bytes of a balancer's connection say. `length`: of the header, after which the caller's own bytes begin.
 * `own`: the balancer speaks for itself, as for its health checks, or cannot say for whom.
 */
export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'malformed'; readonly detail: string }
  | { readonly kind: 'own'; readonly length: number }
  | { readonly kind: 'proxied'; readonly length: number; readonly client: ProxiedClient }

export const incomplete: ProxyHeader = { kind: 'incomplete' }

export function malformed(detail: string): ProxyHeader {
  return { kind: 'malformed', detail }
}
