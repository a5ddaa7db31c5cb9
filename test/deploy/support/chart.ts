import { join } from 'node:path'
import { type ProgramResult, runProgram } from '../../e2e/support/programs.ts'
import { type Manifest, parseManifests } from './manifests.ts'

export const chart = join(import.meta.dirname, '../../../deploy/helm/postern')

/** `helm template`, with each of `values` as `name=value`. */
export function helmTemplate(
  values: readonly string[] = [],
  namespace = 'postern',
): Promise<ProgramResult> {
  const sets = values.map((value) => `--set-json=${value}`)
  const where = ['--namespace', namespace, '--kube-version', '1.34.1']
  return runProgram('helm', ['template', 'postern', chart, ...where, ...sets])
}

/** What the chart becomes with these values. */
export async function rendered(
  values: readonly string[] = [],
  namespace?: string,
): Promise<Manifest[]> {
  const { code, stdout, stderr } = await helmTemplate(values, namespace)
  if (code !== 0) throw new Error(stderr)
  return parseManifests(stdout)
}
