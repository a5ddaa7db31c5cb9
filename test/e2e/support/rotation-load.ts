import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type CallerOptions, identityOf } from './caller.ts'
import { checkoutId, type Mesh, sidecarId } from './mesh.ts'
import type { LoadQuestion, LoadReport, LoadTask } from './rotation-load/callers.ts'

/** `keys` of a mesh for this load. */
export const rotationKeys = { customer: { product: 'reports' } }

/**
 * Callers of every kind (SVID of our own and of a federated trust domain, certificate of a partner's CA, API key) in both
 * versions of HTTP: one of each connects anew for every request, and one keeps its connection busy. Each verifies the sidecar.
 */
export class RotationLoad implements Disposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(mesh: Mesh): Promise<RotationLoad> {
    const task: LoadTask = { callers: await callersOf(mesh) }
    const child = fork(fileURLToPath(new URL('rotation-load/callers.ts', import.meta.url)))
    child.send(task)
    return new RotationLoad(child)
  }

  /** What came of it so far. */
  report(): Promise<LoadReport> {
    return this.#ask('report')
  }

  /** Lets what runs come to its end. */
  stop(): Promise<LoadReport> {
    return this.#ask('stop')
  }

  [Symbol.dispose](): void {
    this.#child.kill()
  }

  async #ask(question: LoadQuestion): Promise<LoadReport> {
    this.#child.send(question)
    const [report] = (await once(this.#child, 'message')) as [LoadReport]
    return report
  }
}

async function callersOf(mesh: Mesh): Promise<LoadTask['callers']> {
  const sidecar: CallerOptions = {
    port: mesh.postern.port,
    sidecarBundle: mesh.agent.bundlePem('corp.example'),
    sidecarId,
  }
  return {
    'own SVID': { ...sidecar, identity: await mesh.mint(checkoutId) },
    'federated SVID': {
      ...sidecar,
      identity: await mesh.mint('spiffe://partner-a.example/orders'),
    },
    "partner's CA": {
      ...sidecar,
      identity: identityOf(await mesh.partnerB.leaf({ subject: '/O=Partner B/CN=batch' })),
    },
    'API key': { ...sidecar, headers: { 'x-api-key': mesh.key('customer') } },
  }
}

/** Issues the sidecar a fresh SVID so many times; each is in service before the next one comes. */
export async function rotate({ agent, postern }: Mesh, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const seen = postern.logs.length
    await agent.renewNow(sidecarId)
    await postern.logged('identity in service', seen)
  }
}
