#!/usr/bin/env bash
# gunicorn's ssl_context hook is not called for uvicorn_worker.UvicornWorker, and nothing says so.
#
# gunicorn documents `ssl_context(config, default_ssl_context_factory)` in its configuration file as the place to make or
# change the TLS context (ALPN, session settings, ...). UvicornWorker reads certfile, keyfile and the other ssl options
# from the same configuration and builds a context by itself: whatever the hook sets is not in force, without a warning.
#
# Seen with gunicorn 27.0.1, uvicorn-worker 0.4.0, uvicorn 0.54.0, Python 3.11:
#     sync: the hook was called
#     UvicornWorker: the hook was not called
#
# Exit 0: still so. Exit 1: it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'kill "${pid:-}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip -q --disable-pip-version-check install gunicorn==27.0.1 uvicorn-worker==0.4.0 uvicorn==0.54.0
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
cat >gunicorn.conf.py <<'PY'
import pathlib
certfile, keyfile = "cert.pem", "key.pem"
bind = "127.0.0.1:0"

def ssl_context(config, default_ssl_context_factory):
    pathlib.Path("called").touch()
    return default_ssl_context_factory()

def when_ready(server):
    pathlib.Path("port").write_text(str(server.LISTENERS[0].sock.getsockname()[1]))
PY
cat >wsgi.py <<'PY'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"hi\n"]
PY
cat >asgi.py <<'PY'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"hi\n"})
PY
try() { # worker class, application
    rm -f called port
    venv/bin/gunicorn -k "$1" "$2" >log 2>&1 & pid=$!
    for _ in $(seq 200); do [ -s port ] && break; sleep 0.1; done
    served=no
    for _ in $(seq 50); do # a handshake, so that a worker that makes its context late has made it
        if openssl s_client -connect "127.0.0.1:$(cat port)" </dev/null >/dev/null 2>&1; then served=yes; break; fi
        sleep 0.2
    done
    [ "$served" = yes ]
    kill "$pid"; wait "$pid" 2>/dev/null || true
    if [ -e called ]; then called=called; else called="not called"; fi
    echo "$1: the hook was $called"
}
one=$(try sync wsgi:app); other=$(try uvicorn_worker.UvicornWorker asgi:app)
echo "$one"; echo "$other"
[ "$one" = "sync: the hook was called" ]
[ "$other" = "uvicorn_worker.UvicornWorker: the hook was not called" ]
