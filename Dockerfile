# careloom in a container. Build: docker build -t careloom .   Run: see compose.yaml.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Scripts stay off: `prepare` is for the tests, and no dependency needs one.
RUN npm ci --ignore-scripts
COPY . .
RUN npm run prepack

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production CARELOOM_DATA=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json ./
COPY scripts/careloom.mjs scripts/
COPY profiles profiles
COPY terminology terminology
# The image's own unprivileged user.
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(`http${process.env.CARELOOM_TLS_CERT ? 's' : ''}://127.0.0.1:${process.env.CARELOOM_PORT || process.env.PORT || 8080}/readyz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# careloom listens on loopback unless told otherwise, so `-p 8080:8080` leads nowhere: run with `--network host`, or set
# CARELOOM_HOST=0.0.0.0 with CARELOOM_BASE_URL and TLS or a trusted proxy (see the README).
# V8 lets the young generation grow to 128 MB under load, and is as fast with 16.
ENTRYPOINT ["node", "--max-semi-space-size=16", "scripts/careloom.mjs"]
CMD ["serve"]
