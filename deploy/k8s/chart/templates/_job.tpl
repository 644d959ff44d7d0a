{{/* Annotations of a job or of what a job needs: hooks in order of weight, or none when they belong to the release. */}}
{{- define "pn.hook" -}}
{{- if eq .root.Values.jobs.mode "hook" -}}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation
{{- end -}}
{{- end -}}

{{/*
A job that runs once to its end and may be repeated. Takes root, name, weight, reaches (database or bus), image, and the
texts `command`, `env` (list), `sources` (list of Secret projections), `mounts` and `volumes` (lists, may be empty).
Hooks exist before the release does: a job uses nothing but Secrets, so it cannot wait for what waits for it.
*/}}
{{- define "pn.job" -}}
{{- $scope := dict "root" .root "component" .name -}}
{{- $v := .root.Values -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "pn.name" .root }}-{{ .name }}{{ if eq $v.jobs.mode "release" }}-{{ .root.Release.Revision }}{{ end }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
  {{- include "pn.hook" . | nindent 2 }}
spec:
  backoffLimit: 6
  activeDeadlineSeconds: {{ $v.jobs.deadlineSeconds }}
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels:
        {{- include "pn.labels" $scope | nindent 8 }}
        prime-nest/reaches: {{ .reaches }}
    spec:
      restartPolicy: OnFailure
      serviceAccountName: {{ include "pn.name" .root }}-jobs
      {{- include "pn.podSecurity" .root | nindent 6 }}
      containers:
        - name: {{ .name }}
          image: {{ .image }}
          imagePullPolicy: {{ $v.image.pullPolicy }}
          {{- .command | nindent 10 }}
          securityContext: {{- include "pn.containerSecurity" .root | nindent 12 }}
          env:
            - { name: NODE_ENV, value: {{ $v.env.NODE_ENV | default "production" }} }
            - { name: LOG_LEVEL, value: {{ $v.env.LOG_LEVEL | default "info" }} }
            {{- .env | nindent 12 }}
          resources: {{- toYaml $v.jobs.resources | nindent 12 }}
          volumeMounts:
            - { name: secrets, mountPath: /run/prime-nest, readOnly: true }
            - { name: tmp, mountPath: /tmp }
            {{- with .mounts }}{{ . | nindent 12 }}{{ end }}
      volumes:
        - name: secrets
          projected:
            # 0440
            defaultMode: 288
            sources: {{- .sources | nindent 14 }}
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- with .volumes }}{{ . | nindent 8 }}{{ end }}
{{- end -}}

{{- define "pn.databaseEnv" -}}
- { name: DB_SSL, value: "true" }
- { name: DB_SSL_CA_FILE, value: /run/prime-nest/ca.crt }
- { name: {{ upper .service }}_DB_URL_FILE, value: /run/prime-nest/db-url }
{{- end -}}

{{- define "pn.busEnv" -}}
- { name: NATS_URL, value: {{ .root.Values.nats.url | quote }} }
- { name: NATS_NKEY_SEED_FILE, value: /run/prime-nest/nkey-seed }
- { name: NATS_TLS_CA_FILE, value: /run/prime-nest/ca.crt }
{{- end -}}

{{/* One Secret's keys as files. */}}
{{- define "pn.source" -}}
- secret:
    name: {{ .name }}
    items:
      {{- range .keys }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end -}}
