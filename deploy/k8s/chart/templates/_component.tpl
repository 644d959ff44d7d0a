{{/* Everything of one service. Takes (dict "root" $ "service" "gateway"). */}}
{{- define "pn.component" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $service := .service -}}
{{- $own := index $v $service -}}
{{- $name := printf "%s-%s" (include "pn.name" $root) $service -}}
{{- $scope := dict "root" $root "component" $service "service" $service -}}
{{- $port := ternary "http" "health" (eq $service "gateway") -}}
{{- $number := ternary 3000 8080 (eq $service "gateway") -}}
{{- $plain := include "pn.plainEnv" $scope -}}
{{- $routes := ternary (include "pn.routes" $root) "" (eq $service "gateway") -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
  {{- with $own.serviceAccountAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
data:
  {{- $plain | nindent 2 }}
{{- if $routes }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}-routes
  labels: {{- include "pn.labels" $scope | nindent 4 }}
data:
  routes.json: |
    {{- $routes | nindent 4 }}
{{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
spec:
  type: ClusterIP
  selector: {{- include "pn.selector" $scope | nindent 4 }}
  ports:
    - { name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}, protocol: TCP }
    {{- if eq $service "gateway" }}
    - { name: metrics, port: 9464, targetPort: metrics, protocol: TCP }
    {{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
spec:
  {{- if not $own.autoscaling.enabled }}
  replicas: {{ $own.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  selector:
    matchLabels: {{- include "pn.selector" $scope | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "pn.labels" $scope | nindent 8 }}
        {{- with $own.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        checksum/config: {{ $plain | sha256sum }}
        {{- with $routes }}
        checksum/routes: {{ . | sha256sum }}
        {{- end }}
        {{- with $v.secretsRevision }}
        prime-nest/secrets-revision: {{ . | quote }}
        {{- end }}
        {{- with $own.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      {{- include "pn.podSecurity" $root | nindent 6 }}
      terminationGracePeriodSeconds: {{ add $v.lifecycle.preStopSeconds $v.lifecycle.shutdownSeconds 10 }}
      {{- with $own.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $own.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $own.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "pn.selector" $scope | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      containers:
        - name: {{ $service }}
          image: {{ include "pn.image" $scope }}
          imagePullPolicy: {{ $v.image.pullPolicy }}
          securityContext: {{- include "pn.containerSecurity" $root | nindent 12 }}
          ports:
            - { name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP }
            {{- if eq $service "gateway" }}
            - { name: metrics, containerPort: 9464, protocol: TCP }
            {{- end }}
          envFrom:
            - configMapRef: { name: {{ $name }} }
          env: {{- include "pn.secretEnv" $scope | nindent 12 }}
          # Alive asks nobody: an outage of PostgreSQL or NATS must not restart the fleet. Ready asks all that is needed.
          startupProbe:
            httpGet: { path: /health/liveness, port: {{ $port }} }
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /health/liveness, port: {{ $port }} }
            periodSeconds: 10
            timeoutSeconds: 3
            failureThreshold: 3
          readinessProbe:
            httpGet: { path: /health/readiness, port: {{ $port }} }
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          lifecycle:
            preStop: { sleep: { seconds: {{ $v.lifecycle.preStopSeconds }} } }
          resources: {{- toYaml $own.resources | nindent 12 }}
          volumeMounts:
            - { name: secrets, mountPath: /run/prime-nest, readOnly: true }
            - { name: tmp, mountPath: /tmp }
            {{- if eq $service "gateway" }}
            - { name: spool, mountPath: /spool }
            {{- end }}
            {{- if $routes }}
            - { name: routes, mountPath: /etc/prime-nest, readOnly: true }
            {{- end }}
            {{- with $own.signedStateClaim }}
            - { name: state, mountPath: /state }
            {{- end }}
      volumes:
        - name: secrets
          # 288 is 0440, which YAML 1.1 and 1.2 read differently.
          secret: { secretName: {{ $own.existingSecret }}, defaultMode: 288 }
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- if eq $service "gateway" }}
        # Events that audit has not confirmed: outlives a container, not its pod, which hands them over before it ends.
        - name: spool
          emptyDir: { sizeLimit: {{ $own.spoolSize }} }
        {{- end }}
        {{- if $routes }}
        - name: routes
          configMap: { name: {{ $name }}-routes }
        {{- end }}
        {{- with $own.signedStateClaim }}
        - name: state
          persistentVolumeClaim: { claimName: {{ . }} }
        {{- end }}
{{- if and $own.pdb.enabled (include "pn.isReplicated" $own) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
spec:
  maxUnavailable: {{ $own.pdb.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "pn.selector" $scope | nindent 6 }}
{{- end }}
{{- if $own.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels: {{- include "pn.labels" $scope | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ $name }} }
  minReplicas: {{ $own.autoscaling.minReplicas }}
  maxReplicas: {{ $own.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource: { name: cpu, target: { type: Utilization, averageUtilization: {{ $own.autoscaling.targetCpuPercent }} } }
  behavior:
    scaleUp: { stabilizationWindowSeconds: 0, policies: [{ type: Percent, value: 100, periodSeconds: 30 }] }
    scaleDown: { stabilizationWindowSeconds: 300, policies: [{ type: Pods, value: 1, periodSeconds: 60 }] }
{{- end }}
{{- end -}}
