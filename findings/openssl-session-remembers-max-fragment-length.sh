#!/usr/bin/env bash
# TLS 1.2, Debian's OpenSSL 3.0 (s_server and s_client): a session made with max_fragment_length can't be resumed by the
# same client without it, and the handshake fails instead of falling back to a full one.
#
# The maximum is part of the session (RFC 6066 section 4 wants it to last over resumption). A client that comes back with
# the session but without the extension is sent the extension unasked, and ends the handshake with unsupported_extension
# (RFC 5246 section 7.4.1.4). Seen: first visit fine, return with -maxfraglen resumed, return without it exits 1.
#
# Exits 1 if that changes. Needs openssl (apt-get install openssl); talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
end() { [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"; }
trap end EXIT
cd "$folder"
case $(openssl version) in "OpenSSL 3.0."*) ;; *) echo "this was seen with OpenSSL 3.0; here is $(openssl version)"; exit 1 ;; esac
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=example.test 2>/dev/null
# -accept 0 lets the kernel pick the port; s_server prints it.
openssl s_server -accept 127.0.0.1:0 -cert c.pem -key k.pem -tls1_2 -no_ticket -www >log 2>&1 &
server=$!
for _ in $(seq 100); do port=$(sed -n 's/^ACCEPT 127.0.0.1:\([0-9]*\).*/\1/p' log); [ -n "$port" ] && break; sleep 0.1; done
[ -n "$port" ]
visit() { printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -connect "127.0.0.1:$port" -tls1_2 -ign_eof "$@" >out 2>&1; }
visit -maxfraglen 1024 -sess_out s.pem; first=$?
visit -maxfraglen 1024 -sess_in s.pem; with=$(grep -c '^Reused' out || true)
without=0; visit -sess_in s.pem || without=$?
why=$(grep -o 'unsolicited extension\|unsupported extension\|bad extension' out | head -1 || true)
openssl version
echo "first visit: exit $first; return with the extension resumed: $([ "$with" -ge 1 ] && echo yes || echo no); return without it: exit $without ($why)"
[ "$first" = 0 ] && [ "$with" -ge 1 ] && [ "$without" != 0 ]
