/** Where a value stands in a text, as offsets. */
export interface Place {
  /** Of the key that leads to it; in a list, of the value itself. */
  readonly keyAt: number
  readonly valueAt: number
}

/** The places of everything in a value. */
export interface Places {
  root: number
  /** By the map or list that holds the value, then by key or index. */
  readonly of: Map<object, Map<string | number, Place>>
}
