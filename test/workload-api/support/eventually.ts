import { setImmediate } from 'node:timers/promises'

/** Resolves as soon as `holds` does, looking after every turn of the event loop; the test's own timeout ends the wait. */
export async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await setImmediate()
}
