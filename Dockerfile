# One image for the control worker, the command line, and hosts (an agent with its Redis processes).
FROM node:20-bookworm-slim AS build
WORKDIR /opt/redis-fleet
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build scripts/build-state.mjs scripts/bundle-workflows.mjs ./scripts/
COPY src ./src
RUN scripts/build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
# An image starts no service: nothing runs here but what the commands below start.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates redis-server redis-tools \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --user-group --create-home --home-dir /var/lib/redis-fleet --shell /usr/sbin/nologin redis-fleet
WORKDIR /opt/redis-fleet
COPY --from=build /opt/redis-fleet/package.json ./
COPY --from=build /opt/redis-fleet/node_modules ./node_modules
COPY --from=build /opt/redis-fleet/dist ./dist
COPY bin ./bin
COPY deploy/container ./deploy/container
ENV NODE_ENV=production \
  PATH=/opt/redis-fleet/bin:$PATH \
  REDIS_FLEET_DATA=/var/lib/redis-fleet
VOLUME /var/lib/redis-fleet
# Drops root; see there. A host runs under an init (docker run --init): pid 1 must outlive the agent.
ENTRYPOINT ["/opt/redis-fleet/deploy/container/entrypoint"]
CMD ["redis-fleet", "--help"]
