import { z } from 'zod'
import { consumer, keyId, moment, name, sha256 } from './scalars.ts'

/** One entry of `keys`. */
export const keySchema = z.strictObject({
  id: keyId.describe('What logs and records name.'),
  sha256: sha256.describe('SHA-256 of the whole key as it is presented, hex.'),
  product: name.describe('The product of products.yaml that the key is good for.'),
  consumer: consumer.describe('The customer or application that the key was issued to.'),
  notBefore: moment
    .optional()
    .describe('Not valid before this date (its beginning in UTC) or moment.'),
  expires: moment
    .optional()
    .describe('Not valid from this date (its beginning in UTC) or moment on.'),
})

/** The file with its entries still to be checked. */
export const keysFrame = z.strictObject({ version: z.literal(1), keys: z.array(z.unknown()) })

/** The whole file; for the JSON Schema. */
export const keysSchema = z.strictObject({
  version: z.literal(1),
  keys: z
    .array(keySchema)
    .describe('Several keys of one consumer may be valid at once: so they rotate.'),
})
