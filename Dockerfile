# The worker and the command line. Debian, since Temporal's native core needs glibc.
#   docker build -t pg2click:0.1.0 .
#   docker run --rm --env-file .env pg2click:0.1.0 status

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without scripts: those of the local stack would fetch databases that no image needs.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
COPY activities activities
COPY workflows workflows
RUN npm run build

FROM node:20.20.2-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:20.20.2-bookworm-slim
# For TLS to Temporal, whose core looks for the system's certificates.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=dependencies /app/node_modules node_modules
COPY sql sql
COPY scripts/healthcheck.mjs scripts/healthcheck.mjs
COPY --from=build /app/dist dist
RUN chmod +x dist/src/cli/main.js && ln -s /app/dist/src/cli/main.js /usr/local/bin/pg2click

ENV NODE_ENV=production \
    PG2CLICK_LOG_FORMAT=json \
    PG2CLICK_METRICS=0.0.0.0:9464 \
    PG2CLICK_HEALTH=0.0.0.0:8080
EXPOSE 8080 9464
# An unprivileged user that the base image has; nothing in the image is its own to change.
USER node
# The worker finishes the batches in hand: give it 75 seconds (docker run --stop-timeout 75).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "/app/scripts/healthcheck.mjs"]
ENTRYPOINT ["pg2click"]
CMD ["worker"]
