/** Members that have more to do, in the order in which they came. */
const waiting = new Set<() => void>()

let turn = 0
let isTurnCounted = false

/**
 * What one connection may have done for it in one turn of the event loop, in units of its own. Whoever sends a thousand requests in
 * one packet then keeps the others waiting for a few of them, and not for all.
 */
export class TurnShare {
  readonly #units: number
  #turn = -1
  #spent = 0

  constructor(units: number) {
    this.#units = units
  }

  /** What is left of this turn's share; not below 0. */
  get left(): number {
    countTurn()
    if (this.#turn !== turn) {
      this.#turn = turn
      this.#spent = 0
    }
    return Math.max(0, this.#units - this.#spent)
  }

  /** The last piece of work may be larger than what was left: nobody knows before what it costs. */
  spend(units: number): void {
    this.#spent += units
  }

  /** Nothing is left of this turn's share. */
  spendAll(): void {
    this.#spent += this.left
  }
}

/**
 * Runs `work` in a later turn, where its share is whole again. Of all that wait one has its turn in each, first come first served:
 * what those that never stop cost the others does not grow with their number. Once, however often it is asked for. `work` must not
 * throw.
 */
export function inLaterTurn(work: () => void): void {
  waiting.add(work)
  countTurn()
}

/** Nothing runs any more. */
export function notInLaterTurn(work: () => void): void {
  waiting.delete(work)
}

function countTurn(): void {
  if (isTurnCounted) return
  isTurnCounted = true
  setImmediate(endTurn)
}

function endTurn(): void {
  turn++
  isTurnCounted = false
  const [first] = waiting
  if (first === undefined) return
  waiting.delete(first)
  // Before the work: should it throw, the others come next all the same.
  if (waiting.size > 0) countTurn()
  first()
}
