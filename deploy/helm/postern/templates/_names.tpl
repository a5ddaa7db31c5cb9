{{- define "postern.labels" -}}
app.kubernetes.io/name: postern-webhook
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "postern.selector" -}}
app.kubernetes.io/name: postern-webhook
{{- end }}

{{- /* One webhook of the configuration: (list . NAME PATH OPERATOR CONDITION EXPRESSION). */ -}}
{{- define "postern.webhook" -}}
{{- $root := index . 0 -}}
- name: {{ index . 1 }}
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: {{ $root.Values.webhook.failurePolicy }}
  timeoutSeconds: {{ $root.Values.webhook.timeoutSeconds }}
  matchPolicy: Equivalent
  reinvocationPolicy: IfNeeded
  rules:
    - apiGroups: ['']
      apiVersions: [v1]
      resources: [pods]
      operations: [CREATE]
      scope: Namespaced
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: NotIn
        values:
          {{- concat (list "kube-system" "kube-public" "kube-node-lease" $root.Release.Namespace) $root.Values.webhook.excludedNamespaces | uniq | toYaml | nindent 10 }}
      - { key: postern.dev/inject, operator: {{ index . 3 }}, values: ['true'] }
  matchConditions:
    - name: {{ index . 4 }}
      expression: {{ index . 5 | quote }}
  clientConfig:
    service: { namespace: {{ $root.Release.Namespace }}, name: postern-webhook, path: {{ index . 2 }}, port: 443 }
    {{- with $root.Values.tls.caBundle }}
    caBundle: {{ b64enc . }}
    {{- end }}
{{- end }}
