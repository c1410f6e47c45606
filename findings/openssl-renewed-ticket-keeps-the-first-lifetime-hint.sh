#!/usr/bin/env bash
# TLS 1.3, OpenSSL 4.0.3 (cryptography 50.0.2's wheel, through pyOpenSSL 26.4.0): a ticket that a resumption renews keeps
# the lifetime hint of the first full handshake, whatever the server's context says by then.
#
# Seen: a full handshake under set_timeout(300) gives hint 300; after SSL_CTX_set_timeout(7200) a full handshake of a new client
# gives 7200, but a resumption of the old session gives a new ticket that says 300 again. So an operator who
# shortens or lengthens lifetimes sees returning clients told the old one for as long as they keep coming back.
#
# Exits 1 if that changes. Needs python3.11 or later and the network for pip; installs into a temporary folder.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install pyOpenSSL==26.4.0 cryptography==50.0.2
"$folder/venv/bin/python" - <<'PROGRAM'
import datetime, ssl
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.test")])
now = datetime.datetime.now(datetime.timezone.utc)
certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(1).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    .sign(key, hashes.SHA256()))
server = SSL.Context(SSL.TLS_SERVER_METHOD)
server.use_certificate(certificate)
server.use_privatekey(key)
server.set_session_id(b"finding")
client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
client.minimum_version = ssl.TLSVersion.TLSv1_3


def visit(session=None):
    """One handshake in memory and one byte back, so that the client has read its tickets."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    browser = client.wrap_bio(back, there, session=session)
    door = SSL.Connection(server, None)
    door.set_accept_state()
    done = False
    for _ in range(20):
        try:
            done and browser.read(1)
            browser.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        if data := there.read():
            door.bio_write(data)
        try:
            door.do_handshake()
            door.send(b"x")
        except SSL.WantReadError:
            pass
        try:
            back.write(door.bio_read(1 << 16))
        except SSL.WantReadError:
            pass
    return browser.session, browser.session_reused


server.set_timeout(300)
first, _ = visit()
SSL._lib.SSL_CTX_set_timeout(server._context, 7200)  # pyOpenSSL itself lets nothing change once a context was used
fresh, _ = visit()
renewed, reused = visit(first)
seen = (first.ticket_lifetime_hint, fresh.ticket_lifetime_hint, renewed.ticket_lifetime_hint, reused, renewed.id != first.id)
print(SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode(), "| client:", ssl.OPENSSL_VERSION)
print("hints: first %d, fresh after the change %d, renewed after the change %d; resumed: %s; another ticket: %s" % seen)
raise SystemExit(seen != (300, 7200, 300, True, True))
PROGRAM
