/**
 * What the spire-controller-manager takes, `spire.spiffe.io/v1alpha1`, as far as its documentation and its definitions of these
 * kinds say it. No registry has them, so that their members are named here.
 */
const text = { type: 'string' }
const flag = { type: 'boolean' }
const texts = { type: 'array', items: text }

/** `matchLabels` and `matchExpressions`, as everywhere in Kubernetes. */
const selector = object({
  matchLabels: { type: 'object', additionalProperties: text },
  matchExpressions: {
    type: 'array',
    items: object(
      {
        key: text,
        operator: { enum: ['In', 'NotIn', 'Exists', 'DoesNotExist'] },
        values: texts,
      },
      ['key', 'operator'],
    ),
  },
})

const specs = {
  ClusterSPIFFEID: object(
    {
      spiffeIDTemplate: text,
      className: text,
      podSelector: selector,
      namespaceSelector: selector,
      dnsNameTemplates: texts,
      autoPopulateDNSNames: flag,
      workloadSelectorTemplates: texts,
      federatesWith: texts,
      ttl: text,
      jwtTtl: text,
      hint: text,
      admin: flag,
      downstream: flag,
      fallback: flag,
    },
    ['spiffeIDTemplate'],
  ),
  ClusterFederatedTrustDomain: object(
    {
      trustDomain: { type: 'string', pattern: '^[a-z0-9._-]{1,255}$' },
      className: text,
      bundleEndpointURL: { type: 'string', pattern: '^https://[^@]+$' },
      bundleEndpointProfile: {
        oneOf: [
          object({ type: { enum: ['https_web'] } }, ['type']),
          // Its server proves itself with this SVID.
          object(
            {
              type: { enum: ['https_spiffe'] },
              endpointSPIFFEID: { type: 'string', pattern: '^spiffe://[a-z0-9._-]+/' },
            },
            ['type', 'endpointSPIFFEID'],
          ),
        ],
      },
      trustDomainBundle: text,
    },
    ['trustDomain', 'bundleEndpointURL', 'bundleEndpointProfile'],
  ),
}

/** JSON Schemas of whole objects, by the kind. */
export const schemasOfSpire = Object.entries(specs).map(([kind, spec]) => {
  const members = { apiVersion: text, kind: text, metadata: { type: 'object' }, spec }
  return { kind, schema: object(members, ['spec']) }
})

function object(properties: Readonly<Record<string, object>>, required?: readonly string[]) {
  return { type: 'object', additionalProperties: false, properties, required }
}
