/**
 * Property tests try other values at each run, so that they go on finding things; a run of CI judges a change and not its luck, and
 * tries the same ones each time. POSTERN_FUZZ_SEED repeats a run: fast-check prints the seed of a failure.
 */
import fc from 'fast-check'

const seedOfCi = 20_261_127

const given = process.env['POSTERN_FUZZ_SEED']
const fixed = process.env['CI'] === 'true' ? seedOfCi : undefined
const seed = given === undefined ? fixed : Number(given)
if (seed !== undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed })
