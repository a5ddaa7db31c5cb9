import { ROOT_CONTEXT } from '@opentelemetry/api'
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace'
import type { SamplingSettings } from './environment.ts'

/** Whether a trace is recorded; `callerSampled` is undefined where the trace begins with us. */
export type Sample = (traceId: string, callerSampled: boolean | undefined) => boolean

/**
 * The sampler of the settings as a plain function. The SDK's own are only asked inside `startSpan`, which costs 1 us even
 * for a span that is not recorded; the ratio is the SDK's, so that all parts of a system choose the same traces.
 */
export function sampler(settings: SamplingSettings): Sample {
  const root = rootSampler(settings.root)
  if (!settings.parentBased) return root
  return (traceId, callerSampled) => callerSampled ?? root(traceId)
}

function rootSampler(root: SamplingSettings['root']): (traceId: string) => boolean {
  if (root === 'always') return () => true
  if (root === 'never') return () => false
  const ratio = new TraceIdRatioBasedSampler(root.ratio)
  return (traceId) =>
    ratio.shouldSample(ROOT_CONTEXT, traceId).decision === SamplingDecision.RECORD_AND_SAMPLED
}
