import { setImmediate } from 'node:timers/promises'

const patienceMs = 30_000

/** Resolves as soon as `holds` does, looking after every turn of the event loop; throws with `problem` after thirty seconds. */
export async function eventually(
  holds: () => boolean,
  problem: () => string = () => holds.toString(),
): Promise<void> {
  const endMs = performance.now() + patienceMs
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`never: ${problem()}`)
    await setImmediate()
  }
}

/** Lets the event loop turn often enough for bytes on loopback to arrive: for what must not happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await setImmediate()
}

/** Resolves once the value has stayed the same for some hundred turns of the event loop. */
export async function unchanged(value: () => number): Promise<void> {
  for (let seen = value(), turns = 0; turns < 300; turns++) {
    await setImmediate()
    if (value() !== seen) [seen, turns] = [value(), 0]
  }
}
