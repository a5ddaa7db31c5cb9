const shape = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)(m|k|M|G|Ki|Mi|Gi)?$/

/** A quantity of Kubernetes such as `100m` or `128Mi`, as it is written; undefined for what is none, or nobody would ask for. */
export function quantity(text: string): string | undefined {
  return shape.test(text) ? text : undefined
}

/** How much it is, to compare it with another. */
export function amountOf(text: string): number {
  const [, digits = '', suffix = ''] = shape.exec(text) ?? []
  return Number(digits) * (factors[suffix] ?? 1)
}

const factors: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
}
