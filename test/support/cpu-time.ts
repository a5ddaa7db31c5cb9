/** Milliseconds of a CPU that this process had since: what others took meanwhile is not in them. */
export function cpuTimeSince(begun: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begun)
  return (user + system) / 1_000
}
