import type { RequestTrace } from './demo-stage.ts'
import type { ReceivedSpan } from './otlp-spans.ts'
import type { Paint } from './paint.ts'

/** The span of a request with its child `authorize` and the attributes of both. */
export function renderSpanTree({ request, authorize }: RequestTrace, paint: Paint): string[] {
  return [
    title(request, paint),
    ...attributeLines(request).map((line) => paint('dim', '│ ') + line),
    `└─ ${title(authorize, paint)}`,
    ...attributeLines(authorize).map((line) => `     ${line}`),
  ]
}

function title(span: ReceivedSpan, paint: Paint): string {
  return `${paint('bold', span.name)}  ${span.kind}  ${span.durationMs.toFixed(2)} ms`
}

function attributeLines(span: ReceivedSpan): string[] {
  const entries = [...span.attributes]
  const width = Math.max(0, ...entries.map(([name]) => name.length))
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`)
}
