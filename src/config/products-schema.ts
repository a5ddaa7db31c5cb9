import { z } from 'zod'
import { addressRulesSchema } from './address-rules-schema.ts'
import {
  addressText,
  description,
  filePath,
  hostPattern,
  method,
  moment,
  name,
  pathPattern,
  rate,
  spiffeIdSelector,
  trustDomain,
} from './scalars.ts'

/** Most entries of one list: each request of a product may be compared with all of its rules. */
const mostCallers = 10_000
const mostRules = 100

/** One entry of `callers`. */
export const callerSchema = z
  .strictObject({
    trustDomain: trustDomain.optional().describe('Any SVID of this trust domain.'),
    spiffeId: spiffeIdSelector
      .optional()
      .describe(
        'Exactly this SPIFFE ID; with /* at its end one more segment, with /** one or more.',
      ),
    authority: name
      .optional()
      .describe('Any certificate whose path runs through a CA certificate of this authority.'),
  })
  .refine((caller) => Object.values(caller).filter((value) => value !== undefined).length === 1, {
    error: 'is not one caller, expected exactly one of trustDomain, spiffeId and authority',
    // An unknown key says enough by itself.
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ minProperties: 1, maxProperties: 1 })

const requestSchema = z.strictObject({
  methods: z
    .array(method)
    .min(1)
    .max(mostRules)
    .optional()
    .describe('Absent: every method. GET stands for HEAD too.'),
  hosts: z
    .array(hostPattern)
    .min(1)
    .max(mostRules)
    .optional()
    .describe('Absent: every host. Lower case, without port; *. in front stands for one label.'),
  paths: z
    .array(pathPattern)
    .min(1)
    .max(mostRules)
    .optional()
    .describe('Absent: every path. * is one segment, /** at the end one or more.'),
})

const limitSchema = z.strictObject({
  rate: rate.describe('Requests on average: 100/s, 600/m or 5000/h.'),
  burst: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe('Requests at once, 1 to 1000000. Default: the number in rate.'),
  per: z
    .enum(['product', 'principal'])
    .default('principal')
    .describe('Whether all callers share the limit or each has its own.'),
})

/** One product. */
export const productSchema = z.strictObject({
  description: description.optional().describe('For people.'),
  callers: z
    .array(callerSchema)
    .max(mostCallers)
    .default([])
    .describe(
      'Certificates that call on behalf of this product. The most specific caller of all products wins.',
    ),
  apiKeys: z
    .enum(['accept', 'warn', 'refuse'])
    .default('refuse')
    .describe('Whether API keys of this product are good; warn serves and marks, for a migration.'),
  apiKeysUntil: moment.optional().describe('From this moment on API keys are refused.'),
  require: z
    .enum(['any', 'certificate', 'apiKey', 'both'])
    .default('any')
    .describe(
      'What must be presented; both: a certificate, and a key of the same product beside it.',
    ),
  upstream: addressText
    .optional()
    .describe("This product's own port of the workload. Default: inbound.upstream."),
  requests: z
    .array(requestSchema)
    .min(1)
    .max(mostRules)
    .optional()
    .describe('A request must match one entry. Absent: every request. TCP connections match none.'),
  addresses: addressRulesSchema
    .optional()
    .describe('From where this product may be called. Absent: from everywhere.'),
  limit: limitSchema.optional().describe('Absent: no limit.'),
})

const mostCrlFiles = 64

/** One authority. */
export const authoritySchema = z.strictObject({
  certificates: filePath.describe(
    'PEM file with one or more CA certificates, roots or intermediates; relative to this file.',
  ),
  trustDomain: trustDomain
    .optional()
    .describe(
      'The trust domain that these certificates may speak for. Absent: they prove no SPIFFE ID.',
    ),
  crl: z
    .array(filePath)
    .min(1)
    .max(mostCrlFiles)
    .optional()
    .describe(
      'Files of revocation lists, PEM or DER, of these CAs and of those below them; relative to this file.',
    ),
  crlRequired: z
    .boolean()
    .default(false)
    .describe(
      'Refuse whom no current list shows to be unrevoked. Default: such callers pass, and a warning is logged.',
    ),
})

/** The file with its parts still to be checked. */
export const productsFrame = z.strictObject({
  version: z.literal(1),
  products: z.record(z.string(), z.unknown()),
  authorities: z.record(z.string(), z.unknown()).default({}),
})

/** The whole file; for the JSON Schema. */
export const productsSchema = z.strictObject({
  version: z.literal(1),
  products: z.record(name, productSchema).describe('By name.'),
  authorities: z
    .record(name, authoritySchema)
    .default({})
    .describe('Issuing CAs of callers outside SPIFFE federation, by alias.'),
})
