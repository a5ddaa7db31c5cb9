const waiting: (() => void)[] = []

/**
 * Runs `work` once this turn of the event loop has read all its sockets. What many connections have to say then leaves together:
 * a write that finds its reader asleep costs three times one that does not. `work` must not throw.
 */
export function atTurnEnd(work: () => void): void {
  if (waiting.push(work) === 1) setImmediate(runAll)
}

/** Also what is added meanwhile. Should one throw all the same, the others come next. */
function runAll(): void {
  let done = 0
  try {
    while (done < waiting.length) waiting[done++]?.()
  } finally {
    waiting.splice(0, done)
    if (waiting.length > 0) setImmediate(runAll)
  }
}
