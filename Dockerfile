# One image per service: docker build --build-arg SERVICE=identity -t prime-nest/identity .
# Plain syntax on purpose: the classic builder and BuildKit both take it. The same sources give the same files.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS manifests
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY libs/contracts/package.json libs/contracts/
COPY libs/kit/package.json libs/kit/
COPY libs/assertion/package.json libs/assertion/
COPY libs/testkit/package.json libs/testkit/
COPY services/gateway/package.json services/gateway/
COPY services/identity/package.json services/identity/
COPY services/rbac/package.json services/rbac/
COPY services/audit/package.json services/audit/
COPY tools/devstack/package.json tools/devstack/
COPY tests/package.json tests/

# Compiles every service once, so that the four images share this stage.
FROM manifests AS build
RUN npm ci --ignore-scripts --no-audit --no-fund --include-workspace-root \
      -w libs/contracts -w libs/kit -w services/gateway -w services/identity -w services/rbac -w services/audit
COPY tsconfig.base.json ./
COPY libs libs
COPY services services
RUN node node_modules/typescript/bin/tsc -b services/gateway services/identity services/rbac services/audit

# What one service needs to run, and nothing else: no compiler, no typings, no tests, no other service.
FROM manifests AS production
ARG SERVICE
RUN test -n "${SERVICE}" || { echo 'build with --build-arg SERVICE=gateway|identity|rbac|audit'; exit 1; } \
 && npm ci --ignore-scripts --no-audit --no-fund --omit=dev -w "services/${SERVICE}" \
 && rm -rf node_modules/typescript node_modules/.bin \
 && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.test.*js' \) -delete
COPY --from=build /app/libs libs
COPY --from=build /app/services services
COPY deploy/image image
RUN mkdir -p "/out/services/${SERVICE}" /out/libs/contracts /out/libs/kit \
 && mv node_modules image/*.mjs /out/ \
 && for part in libs/contracts libs/kit "services/${SERVICE}"; do \
      cp -r "${part}/package.json" "${part}/dist" "/out/${part}/"; \
      for extra in data node_modules; do if [ -d "${part}/${extra}" ]; then cp -r "${part}/${extra}" "/out/${part}/"; fi; done; \
    done \
 && find /out -name '*.d.ts' -delete && find /out -name '*.d.ts.map' -delete \
 && chmod -R a=rX,u+w /out \
 && find /out -exec touch --no-dereference --date=@0 {} +

FROM ${NODE_IMAGE} AS node

FROM ${RUNTIME_IMAGE}
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="prime-nest/${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=node /usr/local/bin/node /usr/local/bin/node
# Owned by root and written by nobody: the process below can read itself and nothing more.
COPY --from=production /out /app
WORKDIR /app/services/${SERVICE}
ENV NODE_ENV=production
USER 10001:10001
STOPSIGNAL SIGTERM
# Health, or the REST API of the gateway.
EXPOSE 8080 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["node", "/app/healthcheck.mjs"]
ENTRYPOINT ["node", "--enable-source-maps", "--import", "@prime-nest/kit/telemetry-register"]
# The service itself; the other programs of an image are dist/migrate.js, dist/seed.js and audit's dist/provision.js.
CMD ["dist/main.js"]
