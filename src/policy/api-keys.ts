/** The parsed api-keys.yaml. Placeholder until its issue's commit. */
export interface ApiKeys {
  readonly size: number
}
