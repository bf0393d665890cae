# corpusd in an image: built from this folder, run without privileges.
#
#   docker build -t corpusd .
#   docker run -p 127.0.0.1:8000:8000 -v corpusd:/data corpusd
#
# In a container the server listens on every address of it, so anonymous use is not allowed by itself: make a key first
# (docker run --rm -v corpusd:/data corpusd keys create --name me --scope admin), or set CORPUSD_ALLOW_ANONYMOUS=yes
# where only trusted programs reach it.

FROM rust:1.95-slim-bookworm AS build
# SQLite and ring are C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin corpusd

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin corpusd \
    && install -d -o corpusd -g corpusd -m 0750 /data
COPY --from=build /build/target/release/corpusd /usr/local/bin/corpusd
USER corpusd
WORKDIR /data
VOLUME /data
ENV DATABASE_URL=sqlite:////data/corpus.db CORPUSD_HOST=0.0.0.0 CORPUSD_PORT=8000
EXPOSE 8000
# The server finishes what is under way within 25 s of it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["corpusd", "health"]
ENTRYPOINT ["corpusd"]
CMD ["serve"]
