/** What a `FadingTable` forgets by. */
export interface Seen {
  /** When it was seen last, milliseconds since 1970. */
  readonly lastMs: number
}

/**
 * Cells by two words, bounded in number: when it is full, the tenth that was seen longest ago goes at once, so that
 * making room costs next to nothing for each that comes. Two words, because joining them would cost more than both look-ups.
 */
export class FadingTable<Cell extends Seen> {
  readonly #rows = new Map<string, Map<string, Cell>>()
  readonly #most: number
  #size = 0
  #forgotten = 0

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#size
  }

  /** How many had to be forgotten. */
  get forgotten(): number {
    return this.#forgotten
  }

  get(row: string, column: string): Cell | undefined {
    return this.#rows.get(row)?.get(column)
  }

  /** Adds a cell where there is none yet. */
  add(row: string, column: string, cell: Cell): void {
    if (this.#size >= this.#most) this.#makeRoom()
    const cells = this.#rows.get(row) ?? new Map<string, Cell>()
    this.#rows.set(row, cells)
    if (!cells.has(column)) this.#size++
    cells.set(column, cell)
  }

  /** The cells of one row. */
  row(row: string): readonly Cell[] {
    return [...(this.#rows.get(row)?.values() ?? [])]
  }

  *values(): Generator<Cell> {
    for (const cells of this.#rows.values()) yield* cells.values()
  }

  #makeRoom(): void {
    const all = [...this.#rows].flatMap(([row, cells]) =>
      [...cells].map(([column, { lastMs }]) => ({ row, column, lastMs })),
    )
    const oldest = all.sort((a, b) => a.lastMs - b.lastMs)
    for (const { row, column } of oldest.slice(0, Math.ceil(this.#most / 10))) {
      const cells = this.#rows.get(row)
      cells?.delete(column)
      if (cells?.size === 0) this.#rows.delete(row)
      this.#size--
      this.#forgotten++
    }
  }
}
