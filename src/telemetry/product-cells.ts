/** Names of products that are told apart in labels during the life of the process, reloads included. */
export const mostProducts = 20_000

/** The label of what is above the bound. */
const otherProducts = '_other'

/** One value for each product, made when it is first asked for; bounded, because labels are never forgotten. */
export class ProductCells<Cell> {
  readonly #make: (product: string) => Cell
  readonly #most: number
  readonly #cells = new Map<string, Cell>()

  /** `make` gets the label: the product, '' where there was none, or `_other`. */
  constructor(make: (product: string) => Cell, most = mostProducts) {
    this.#make = make
    this.#most = most
  }

  of(product: string | undefined): Cell {
    const label = product ?? ''
    return this.#cells.get(label) ?? this.#add(label)
  }

  values(): IterableIterator<Cell> {
    return this.#cells.values()
  }

  #add(label: string): Cell {
    const bounded = this.#cells.size < this.#most ? label : otherProducts
    const existing = this.#cells.get(bounded)
    if (existing !== undefined) return existing
    const cell = this.#make(bounded)
    this.#cells.set(bounded, cell)
    return cell
  }
}
