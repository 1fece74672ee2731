# The daemon alone: no shell, no package manager, an unprivileged user.
# Command handlers need the programs they run: base an image on this one's binary for those.

FROM rust:1.94-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src ./src
COPY migrations ./migrations
# Cargo wants every target that Cargo.toml names to have a file.
COPY tests ./tests
COPY benches ./benches
# The commit for `legwork --version` and the metrics: --build-arg LEGWORK_COMMIT=$(git rev-parse HEAD)
ARG LEGWORK_COMMIT=
RUN cargo build --release --locked --bin legwork

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/legwork /usr/bin/legwork
USER 65532:65532
WORKDIR /tmp
EXPOSE 9464
# As process 1 it has a child be the daemon, waits for orphans and passes signals on: no init is needed.
# TERM drains: give `docker stop --time` more than shutdown.grace + shutdown.cancel_grace + 3 s.
STOPSIGNAL SIGTERM
# It asks where admin.listen is by the environment, or by a file that LEGWORK_CONFIG names or that lies in its usual
# place; for a file that the daemon has by `--config` alone, override it.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/usr/bin/legwork", "healthcheck"]
ENTRYPOINT ["/usr/bin/legwork"]
CMD ["run"]
