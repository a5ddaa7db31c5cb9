import assert from 'node:assert/strict'
import { inLaterTurn, notInLaterTurn, TurnShare } from '../../src/proxy/turn-share.ts'

/** The next turn of the event loop has begun. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

describe('a share of a turn', () => {
  it('is spent until the turn is over, and then whole again', async () => {
    const share = new TurnShare(10)
    assert.equal(share.left, 10)
    share.spend(7)
    await Promise.resolve()
    assert.equal(share.left, 3)
    share.spend(7)
    assert.equal(share.left, 0)
    await nextTurn()
    assert.equal(share.left, 10)
  })

  it('can be spent at once', async () => {
    const share = new TurnShare(10)
    share.spend(3)
    share.spendAll()
    assert.equal(share.left, 0)
    await nextTurn()
    assert.equal(share.left, 10)
  })

  it('is of one connection: another one has its own', () => {
    const [one, other] = [new TurnShare(3), new TurnShare(3)]
    one.spend(one.left)
    assert.equal(other.left, 3)
  })
})

describe('work for later turns', () => {
  it('is done one piece a turn, first come first served, each with a whole share', async () => {
    const log: string[] = []
    const share = new TurnShare(5)
    const works = ['a', 'b', 'c'].map((name) => () => {
      log.push(`${name} ${share.left}`)
      share.spend(5)
    })
    for (const work of works) inLaterTurn(work)
    for (let turn = 1; turn <= 3; turn++) {
      assert.equal(log.length, turn - 1)
      await nextTurn()
    }
    assert.deepEqual(log, ['a 5', 'b 5', 'c 5'])
  })

  it('that asks again comes after those that wait, and not within its own turn', async () => {
    const log: string[] = []
    const again = () => {
      log.push('again')
      if (log.length < 4) inLaterTurn(again)
    }
    inLaterTurn(again)
    inLaterTurn(() => log.push('once'))
    await nextTurn()
    assert.deepEqual(log, ['again'])
    await nextTurn()
    await nextTurn()
    assert.deepEqual(log, ['again', 'once', 'again'])
    await nextTurn()
  })

  it('is done once however often it is asked for, and not when it is taken back', async () => {
    let [done, undone] = [0, 0]
    const work = () => {
      done++
    }
    const takenBack = () => {
      undone++
    }
    inLaterTurn(work)
    inLaterTurn(takenBack)
    inLaterTurn(work)
    notInLaterTurn(takenBack)
    for (let turn = 0; turn < 4; turn++) await nextTurn()
    assert.deepEqual([done, undone], [1, 0])
  })
})
