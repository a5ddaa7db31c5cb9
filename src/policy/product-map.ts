/** The parsed products.yaml: maps credentials to products. Placeholder until its issue's commit. */
export interface ProductMap {
  readonly authorities: ReadonlyMap<string, unknown>
}
