/** Styles a text for a terminal, or leaves it as it is. */
export type Paint = (style: 'green' | 'red' | 'dim' | 'bold', text: string) => string
