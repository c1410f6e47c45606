#!/usr/bin/env bash
# gunicorn 27.0.1: with its workers `sync` (the default) and `gthread` no client ever resumes a TLS session.
#
# They ask for a new SSLContext, with certificate and key read from disk, for each connection they accept. The keys of
# session tickets and the cache of session ids belong to a context, so what one connection gave out the next one can't read.
# Neither the documentation of `certfile` nor that of the `ssl_context` hook ("called when SSLContext is needed") says so.
# Seen, in TLS 1.2 and 1.3: 0 of 4 returns resume and the hook is called 10 times for 10 connections; a hook that hands out
# one context for all gives 4 of 4. Whoever runs gunicorn with TLS pays a full handshake and two file reads each time.
#
# Exits 1 if that changes. Needs python3, openssl and the network for pip; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
end() { [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"; }
trap end EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip -qq --disable-pip-version-check install gunicorn==27.0.1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
cat >gunicorn.conf.py <<'PY'
import os, pathlib
certfile, keyfile = "cert.pem", "key.pem"
bind = "127.0.0.1:0"
kept = []

def ssl_context(config, default_ssl_context_factory):
    with open("calls", "a") as calls:
        calls.write(".")
    if not kept or "KEEP" not in os.environ:
        kept[:] = [default_ssl_context_factory()]
    return kept[0]

def when_ready(server):
    pathlib.Path("port").write_text(str(server.LISTENERS[0].sock.getsockname()[1]))
PY
cat >wsgi.py <<'PY'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"hi\n"]
PY
cat >client.py <<'PY'
import pathlib, socket, ssl
port = int(pathlib.Path("port").read_text())
resumed = {}
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations("cert.pem")
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                while tls.recv(4096):
                    pass
                resumed[version.name] = resumed.get(version.name, 0) + tls.session_reused
                session = tls.session
calls = len(pathlib.Path("calls").read_text())
print(", ".join(f"{name} {count} of 4 resumed" for name, count in resumed.items()) + f"; {calls} contexts asked for 10 connections")
PY
try() { # worker class, and whether the hook keeps its context
    rm -f calls port
    env ${2:+KEEP=1} venv/bin/gunicorn -k "$1" wsgi:app >log 2>&1 & pid=$!
    for _ in $(seq 200); do [ -s port ] && break; sleep 0.1; done
    echo "$1${2:+, the hook keeps one context}: $(venv/bin/python client.py)"
    kill "$pid"; wait "$pid" 2>/dev/null || true; pid=
}
venv/bin/gunicorn --version
{ try sync; try gthread; try sync keep; } >seen
cat seen
none="TLSv1_2 0 of 4 resumed, TLSv1_3 0 of 4 resumed; 10 contexts asked for 10 connections"
all="TLSv1_2 4 of 4 resumed, TLSv1_3 4 of 4 resumed; 10 contexts asked for 10 connections"
[ "$(cat seen)" = "sync: $none
gthread: $none
sync, the hook keeps one context: $all" ]
