#!/bin/sh
# curl (Debian 12's 7.88.1, OpenSSL) offers no TLS 1.3 ticket after STARTTLS of SMTP: when the second connection's ticket
# or the first one's comes, `-v` says "old SSL session ID is stale, removing", and the handshake after is a full one. In
# TLS 1.2 the same command resumes. The server here is a plain aiosmtpd over Python's ssl with OpenSSL's own tickets.
#
# Expected: TLSv1.2 False, True; TLSv1.3 False, True. Seen with 7.88.1: TLSv1.3 False, False. Ends with 1 when curl resumes.
set -eu
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet aiosmtpd==1.4.6 trustme==1.2.1
cat > "$folder/server.py" <<'PYTHON'
import ssl, sys, threading
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

ca = trustme.CA()
ca.cert_pem.write_to_path("ca.pem")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ca.issue_cert("mail.example").configure_cert(context)

class Server(SMTP):
    def connection_made(self, transport):
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            print(tls.version(), tls.session_reused, flush=True)

class Here(Controller):
    def factory(self):
        return Server(self.handler, tls_context=context)

Here(Sink(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
threading.Event().wait()
PYTHON
cd "$folder"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/python server.py "$port" > seen & server=$!
for _ in $(seq 100); do [ -s ca.pem ] && curl --silent "smtp://127.0.0.1:$port/" --request NOOP > /dev/null && break; sleep 0.2; done
curl --version | head -1
for version in "--tlsv1.2 --tls-max 1.2" "--tlsv1.3"; do
    each="--silent --resolve mail.example:$port:127.0.0.1 --cacert ca.pem $version --ssl-reqd --request NOOP smtp://mail.example:$port/"
    # shellcheck disable=SC2086
    curl $each --interface 127.0.0.1 --next $each --interface 127.0.0.2 > /dev/null
done
cat seen
[ "$(tr '\n' ' ' < seen)" = "TLSv1.2 False TLSv1.2 True TLSv1.3 False TLSv1.3 False " ]
