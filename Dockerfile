# Two images:
#   docker build -t postern:0.1.0 .                                     the sidecar
#   docker build -t postern-redirect:0.1.0 --target postern-redirect .  the init container of `postern inject --redirect`
# Every RUN here works in its own folder only: test/deploy/image.test.ts runs these very steps without an engine.

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN npm run build

FROM node:20.20.2-bookworm-slim AS dependencies
WORKDIR /dependencies
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-audit --no-fund

# What `postern-redirect` runs comes with the pod (src/injector/pod/redirect-script.ts); it needs sh and iptables.
FROM debian:12.12-slim AS postern-redirect
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="postern-redirect" \
      org.opencontainers.image.description="sh and iptables, for the init container that sends a pod's port to Postern" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends iptables \
 && rm -rf /var/lib/apt/lists/*
USER 0:0
ENTRYPOINT ["iptables"]
CMD ["--version"]

# The last, and so the one that is built when none is named.
FROM node:20.20.2-bookworm-slim AS postern
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="postern" \
      org.opencontainers.image.description="A service-mesh sidecar with SPIFFE identity: mTLS under any CA and API keys on one port" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production
ENV OPENSSL_CONF=/opt/postern/openssl.cnf
COPY LICENSE package.json deploy/openssl.cnf /opt/postern/
COPY --from=dependencies /dependencies/node_modules /opt/postern/node_modules
COPY --from=build /build/dist /opt/postern/dist
# A postern.yaml that is mounted here is found without --config.
WORKDIR /etc/postern
USER 8443:8443
EXPOSE 8443 9902
STOPSIGNAL SIGTERM
# For engines without probes of their own. It asks the sidecar, not the agent: one that is away for a minute ends nothing.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
  CMD ["/usr/local/bin/node", "/opt/postern/dist/bin/postern.js", "check", "--live", "--files-only"]
ENTRYPOINT ["/usr/local/bin/node", "/opt/postern/dist/bin/postern.js"]
CMD ["run"]
