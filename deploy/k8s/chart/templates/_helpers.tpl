{{/* Short enough that every name made from it fits 63 characters. */}}
{{- define "pn.name" -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- .Values.fullnameOverride | default (ternary $default (printf "%s-%s" .Release.Name .Values.nameOverride) (empty .Values.nameOverride)) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Never change with a release: selectors are immutable. Takes (dict "root" $ "component" "gateway"). */}}
{{- define "pn.selector" -}}
app.kubernetes.io/name: prime-nest
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "pn.labels" -}}
{{ include "pn.selector" . }}
app.kubernetes.io/part-of: prime-nest
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pn.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := index $image.digests .service -}}
{{- if $digest -}}{{ $image.repository }}/{{ .service }}@{{ $digest }}
{{- else -}}{{ $image.repository }}/{{ .service }}:{{ $image.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end -}}

{{/* The restricted Pod Security Standard. */}}
{{- define "pn.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "pn.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* What the services read from files of their Secret, mounted at /run/prime-nest. */}}
{{- define "pn.secretEnv" -}}
{{- $prefix := upper .service -}}
- { name: NATS_NKEY_SEED_FILE, value: /run/prime-nest/nkey-seed }
{{- if eq .service "gateway" }}
- { name: REDIS_URL_FILE, value: /run/prime-nest/redis-url }
{{- if include "pn.routes" .root }}
- { name: GATEWAY_ASSERTION_KEY_FILE, value: /run/prime-nest/assertion-key }
{{- end }}
{{- else }}
- { name: {{ $prefix }}_DB_URL_FILE, value: /run/prime-nest/db-url }
{{- end }}
{{- if eq .service "identity" }}
- { name: PRIVATE_KEY_FILE, value: /run/prime-nest/private-key }
- { name: PUBLIC_KEY_FILE, value: /run/prime-nest/public-key }
- { name: IDENTITY_KEY_ENCRYPTION_KEY_FILE, value: /run/prime-nest/key-encryption-key }
{{- end }}
{{- if ne .service "audit" }}
- { name: AUDIT_PUBLIC_KEY_FILE, value: /run/prime-nest/audit-public-key }
{{- end }}
{{- if eq .service "audit" }}
- { name: AUDIT_SIGNING_KEY_FILE, value: /run/prime-nest/signing-key }
{{- if .root.Values.audit.signedStateClaim }}
- { name: AUDIT_SIGNED_STATE_FILE, value: /state/last-checkpoint }
{{- end }}
{{- end }}
{{- end -}}

{{/* Plain variables of a service as YAML: the shared ones, the wiring, then its own. */}}
{{- define "pn.plainEnv" -}}
{{- $v := .root.Values -}}
{{- $env := dict "NATS_URL" $v.nats.url "NATS_TLS_CA_FILE" "/run/prime-nest/ca.crt" "SHUTDOWN_TIMEOUT_MS" (mul 1000 (int $v.lifecycle.shutdownSeconds) | toString) -}}
{{- if eq .service "gateway" -}}
{{- $env = merge $env (dict "PORT" "3000" "GATEWAY_SPOOL_DIR" "/spool" "METRICS_PORT" "9464" "REDIS_TLS_CA_FILE" "/run/prime-nest/ca.crt") -}}
{{- if include "pn.routes" .root }}{{- $_ := set $env "GATEWAY_ROUTES_FILE" "/etc/prime-nest/routes.json" -}}{{- end -}}
{{- with $v.redis.sentinelName }}{{- $_ := set $env "REDIS_SENTINEL_NAME" . -}}{{- end -}}
{{- with $v.tracing.urlTemplate }}{{- $_ := set $env "TRACE_URL_TEMPLATE" . -}}{{- end -}}
{{- else -}}
{{- $env = merge $env (dict "HEALTH_PORT" "8080" "DB_SSL" "true" "DB_SSL_CA_FILE" "/run/prime-nest/ca.crt") -}}
{{- end -}}
{{- if $v.tracing.enabled -}}
{{- $env = merge $env (dict "OTEL_ENABLED" "true" "OTEL_EXPORTER_OTLP_ENDPOINT" $v.tracing.endpoint "OTEL_TRACES_SAMPLER" "parentbased_traceidratio" "OTEL_TRACES_SAMPLER_ARG" (toString $v.tracing.ratio)) -}}
{{- end -}}
{{- $shared := $v.env -}}
{{- if not (or (eq .service "gateway") (eq .service "identity")) -}}{{- $shared = omit $shared "TOKEN_ISSUER" "TOKEN_AUDIENCE" -}}{{- end -}}
{{- range $name, $value := mustMergeOverwrite $env (deepCopy $shared) (deepCopy (index $v .service).env) }}
{{ $name }}: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}

{{/* The route file as JSON; nothing when there is none. */}}
{{- define "pn.routes" -}}
{{- with .Values.gateway -}}
{{- if .routesJson -}}{{- .routesJson | fromJson | toPrettyJson -}}
{{- else if .routes -}}{{- .routes | toPrettyJson -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* The ways of the gateway to the upstreams of its route file, which it calls over HTTP. */}}
{{- define "pn.upstreamEdges" -}}
{{- $ways := .Values.gateway.upstreams -}}
{{- range $name, $upstream := (include "pn.routes" . | default "{}" | fromJson).upstreams | default dict }}
{{- if hasKey $upstream "url" }}
{{- $address := urlParse $upstream.url }}
{{- $implied := regexFind ":[0-9]+$" $address.host | trimPrefix ":" | default (ternary "443" "80" (eq $address.scheme "https")) }}
{{- $way := index $ways $name | default dict }}
{{ include "pn.edge" (dict "direction" "to" "port" ($way.port | default $implied | int) "peers" $way.peers) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* true when more than one pod is meant to run. */}}
{{- define "pn.isReplicated" -}}
{{- $count := ternary .autoscaling.minReplicas .replicas .autoscaling.enabled -}}
{{- if gt (int $count) 1 -}}true{{- end -}}
{{- end -}}

{{/* `ingress`/`egress` entry for a port and peers; without peers, any address on that port. */}}
{{- define "pn.edge" -}}
- ports: [{ protocol: TCP, port: {{ .port }} }]
  {{- with .peers }}
  {{ $.direction }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Peers of a bundled server, else those given. */}}
{{- define "pn.peers" -}}
{{- if and .root.Values.bundled.enabled .component -}}
{{- list (dict "podSelector" (dict "matchLabels" (include "pn.selector" . | fromYaml))) | toYaml -}}
{{- else -}}
{{- .peers | toYaml -}}
{{- end -}}
{{- end -}}

{{- define "pn.dns" -}}
- ports: [{ protocol: UDP, port: 53 }, { protocol: TCP, port: 53 }]
  to:
    {{- toYaml .Values.networkPolicy.dnsPeers | nindent 4 }}
{{- end -}}

{{- define "pn.bootstrapHost" -}}
{{- ternary (printf "%s-postgres" (include "pn.name" .)) .Values.database.bootstrap.host .Values.bundled.enabled -}}
{{- end -}}
