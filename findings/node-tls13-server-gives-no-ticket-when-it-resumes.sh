#!/usr/bin/env bash
# Node.js 26.9.0 (and 24.9.0, 20.20.2): its TLS 1.3 server gives no new ticket on a resumed connection.
#
# OpenSSL's own server gives two tickets with a full handshake and one with each resumption. Node always sets a callback for
# ticket keys, and the callback answers "good" and not "good, renew" to a ticket of its own, so OpenSSL leaves the new ticket
# out. RFC 8446 (C.4) asks clients to use a ticket once. One that does, or that keeps the newest only, is left with nothing
# after a resumption and makes a full handshake next time. Seen: tickets 2 and then 0, where `openssl s_server` gives 2 and then
# 1; of curl 7.88's 6 returns 3 resume, each second one, and of a Java 17 client's as well. Node's pages on `tls` say nothing of it.
#
# Exits 1 if that changes. Needs node and npm with its registry, openssl and curl; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
end() { [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"; }
trap end EXIT
cd "$folder"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund node@26.9.0 >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
cat >server.js <<'JS'
const fs = require('node:fs')
const [key, cert] = ['key.pem', 'cert.pem'].map(name => fs.readFileSync(name))
const server = require('node:https').createServer({ key, cert }, (request, response) =>
  response.setHeader('Connection', 'close').end(request.socket.isSessionReused() ? 'resumed\n' : 'full\n'))
server.listen(0, '127.0.0.1', () => fs.writeFileSync('port', String(server.address().port)))
JS
tickets() { # of a full handshake, and of one that resumes
    for how in -sess_out -sess_in; do
        printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -connect "127.0.0.1:$1" -servername localhost -tls1_3 -ign_eof "$how" session >out 2>&1
        echo "$(grep -a -o '^New\|^Reused' out | head -1) handshake $(grep -a -c 'New Session Ticket arrived' out || true)"
    done | tr '\n' ' '
}
openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -tls1_3 -www >log 2>&1 & pid=$!
for _ in $(seq 100); do port=$(sed -n 's/^ACCEPT 127.0.0.1:\([0-9]*\).*/\1/p' log); [ -n "$port" ] && break; sleep 0.1; done
{
    echo "tickets of $(openssl version | cut -d ' ' -f 1-2): $(tickets "$port")"
    kill "$pid"; wait "$pid" 2>/dev/null || true
    node_modules/.bin/node server.js & pid=$!
    for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
    url=https://localhost:$(cat port)/
    echo "tickets of node $(node_modules/.bin/node -p process.versions.node): $(tickets "$(cat port)")"
    echo "$(curl --version | cut -d ' ' -f 1-2 | head -1) at node, one visit and 6 returns:" \
        "$(curl --silent --cacert cert.pem --tlsv1.3 "$url" "$url" "$url" "$url" "$url" "$url" "$url" | tr '\n' ' ')"
} >seen
cat seen
[ "$(cut -d : -f 2- seen | tr '\n' '|')" = " New handshake 2 Reused handshake 1 | New handshake 2 Reused handshake 0 | full resumed full resumed full resumed full |" ]
