/** A limit in time that a test says nothing of, milliseconds: what it waits for is not to come of a limit that is over. */
export const patienceMs = 600_000
