#!/usr/bin/env bash
# Redis 7.0.15 (Debian 12's redis-server, OpenSSL 3.0): `tls-session-caching no` doesn't end resumption, and with client
# certificates, which are asked for by default, it makes every client that comes back with its session fail.
#
# redis.conf says of the setting that it disables caching. It turns off the server's own cache and no more: session tickets
# go on being given. Without client certificates they are still resumed. With `tls-auth-clients yes` the handshake is refused
# with internal_error, since the same branch leaves the session id context unset, and the log says "session id context
# uninitialized". Seen in TLS 1.2 and 1.3: `yes` resumes; `no` resumes without certificates and is refused with them. A Java
# 17 client, which resumes by itself, lost each connection but its first in TLS 1.2, and every second one in TLS 1.3.
# Valkey's tls.c has the same two branches.
#
# Exits 1 if that changes. Needs redis-server and openssl (apt-get install redis-server openssl); talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
end() { [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"; }
trap end EXIT
cd "$folder"
case $(redis-server --version) in *" v=7.0.15 "*) ;; *) echo "this was seen with 7.0.15; here is $(redis-server --version)"; exit 1 ;; esac
redis-server --version | cut -d ' ' -f 1-3
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=example.test 2>/dev/null
free() { # a port that nobody listens at and that is none of those the kernel gives to outgoing connections
    python3 -c 'import random, socket
while True:
    try:
        with socket.create_server(("127.0.0.1", random.randrange(20000, 30000))) as one:
            raise SystemExit(print(one.getsockname()[1]))
    except OSError:
        pass'
}
visit() { printf 'PING\r\nquit\r\n' | timeout 20 openssl s_client -connect "127.0.0.1:$port" -cert c.pem -key k.pem -ign_eof "$@" >out 2>&1; }
tried() { # caching, client certificates: how the second visit ends, in TLS 1.2 and in 1.3
    port=$(free)
    redis-server --bind 127.0.0.1 --port 0 --tls-port "$port" --tls-cert-file c.pem --tls-key-file k.pem --tls-ca-cert-file c.pem \
        --tls-session-caching "$1" --tls-auth-clients "$2" --save '' --dir "$folder" >log 2>&1 & server=$!
    for _ in $(seq 100); do visit && break; sleep 0.1; done
    ends=
    for version in -tls1_2 -tls1_3; do
        rm -f session
        visit "$version" -sess_out session; grep -q PONG out
        if ! visit "$version" -sess_in session; then ends="$ends refused"
        elif grep -q '^Reused' out && grep -q PONG out; then ends="$ends resumed"
        else ends="$ends full"; fi
    done
    kill "$server"; wait "$server" 2>/dev/null || true; server=
    echo "tls-session-caching $1, tls-auth-clients $2:$ends; in the log: $(grep -c 'session id context uninitialized' log || true)"
}
for caching in yes no; do for certificates in no yes; do tried "$caching" "$certificates"; done; done >seen
cat seen
[ "$(cut -d : -f 2- seen | tr '\n' '|')" = " resumed resumed; in the log: 0| resumed resumed; in the log: 0| resumed resumed; in the log: 0| refused refused; in the log: 2|" ]
