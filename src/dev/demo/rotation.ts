import { oldCertificate } from './calls.ts'
import type { DemoStage } from './demo-stage.ts'

export interface Rotation {
  readonly epochBefore: number
  readonly epochAfter: number
}

/**
 * Gives `corp.example` another CA as a platform does it: the new one comes into the bundle, then it signs, then the old one
 * leaves. Resolves when the sidecar has taken each step and the callers have their new certificates.
 */
export async function rotateOwnCa(stage: DemoStage): Promise<Rotation> {
  const epochBefore = await stage.epoch()
  const before = await stage.files.certificate('corp.example')
  await stage.files.keepCertificate('corp.example', oldCertificate)
  await stage.command('prepare corp.example')
  await stage.untilEpoch(epochBefore + 1)
  await stage.command('activate corp.example')
  await stage.command('withdraw corp.example')
  await stage.untilEpoch(epochBefore + 2)
  await stage.untilWritten('new certificates for the callers', async () => {
    const now = await stage.files.certificate('corp.example')
    return now.cert === before.cert || now.key === before.key ? undefined : true
  })
  return { epochBefore, epochAfter: await stage.epoch() }
}
