/**
 * The host for `listen` of node:net. `::` stands for every address of the machine, IPv4 too; where the kernel has no IPv6 those of
 * IPv4 are all there are, and `listen` only takes them instead when it is given no host.
 */
export function listenHost(host: string): string | undefined {
  return host === '::' ? undefined : host
}
