# The server of this checkout as an image. It runs as user 7946, writes to /var/lib/meshcache and /run/meshcache only, and
# needs its configuration at /etc/meshcache/meshcache.toml. docs/deployment.md says how to use it.
#
#   docker build -t meshcache .

FROM python:3.11-slim-bookworm AS build
# The compiler is for the hot path in C; without one the build goes on, and handshakes cost more.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/meshcache
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY docs docs
COPY server server
COPY meshcache meshcache
# Versions are pinned: constraints.txt is what the tests ran with.
RUN /opt/meshcache/bin/pip install --no-cache-dir -c constraints.txt setuptools \
 && /opt/meshcache/bin/pip install --no-cache-dir --no-build-isolation -c constraints.txt '.[uvloop]' \
 && /opt/meshcache/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim-bookworm
RUN groupadd --gid 7946 meshcache \
 && useradd --uid 7946 --gid 7946 --home-dir /var/lib/meshcache --no-create-home --shell /usr/sbin/nologin meshcache \
 && install -d -m 0700 -o meshcache -g meshcache /var/lib/meshcache /run/meshcache \
 && install -d /etc/meshcache
COPY --from=build /opt/meshcache /opt/meshcache
ENV PATH=/opt/meshcache/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MESHCACHE_SOCKET=/run/meshcache/admin.sock
USER 7946:7946
WORKDIR /etc/meshcache
VOLUME /var/lib/meshcache
# Clients, peers, and the dashboard with /metrics, where the file says so.
EXPOSE 8443 7946 9946
# The node answers on its own socket, as it does for `meshcache stats` in a shell.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
    CMD ["sh", "-c", "meshcache stats >/dev/null"]
ENTRYPOINT ["meshcache"]
CMD ["serve", "/etc/meshcache/meshcache.toml", "--set", "node.state_dir=/var/lib/meshcache", "--set", "admin.socket=/run/meshcache/admin.sock"]
