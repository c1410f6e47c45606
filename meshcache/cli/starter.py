"""What `meshcache init` writes: a commented configuration for two nodes on one machine, and a test certificate."""

from __future__ import annotations

from typing import Final

FILE: Final = "meshcache.toml"
KEY_FILE: Final = "mesh.key"
CERTIFICATE: Final = "test.pem"
PRIVATE_KEY: Final = "test.key"

SECOND_NODE: Final = ("node.name=edge-2", "mesh.listen=127.0.0.1:7947", "vip.shop.listen=127.0.0.1:8444")
"""What a second node on the same machine can't have in common with the first; state folder and admin socket follow from
the name."""

CERTIFICATE_DAYS: Final = 365
"""Long enough to try things, too short to forget it in production."""

CONFIGURATION: Final = f"""\
# One node of a mesh, here on loopback so that two can be tried on one machine.
# Relative paths count from this file. `meshcache check` says what is wrong; docs/configuration.md has every key.

[node]
name = "edge-1"                   # unique in the mesh
colo = "local"                    # the datacenter; sessions with reach = "colo" stay among nodes of the same one
# state_dir = "state/edge-1"      # default: state/NAME, so that two nodes of this file don't meet; has admin.sock

[mesh]
name = "test"                     # nodes of another mesh are ignored
key_file = "{KEY_FILE}"             # whoever has a copy is a member; mode 0600
listen = "127.0.0.1:7946"         # where peers connect
seeds = ["127.0.0.1:7946", "127.0.0.1:7947"]   # nodes to begin with; one that answers is enough
# mdns = true                     # find peers on the LAN without seeds
# interfaces = ["10.0.0.4"]       # where mDNS is spoken; default: the address in listen

[cache]
max_sessions = 100_000
max_bytes = "64MiB"

# [admin]
# http = "127.0.0.1:9946"         # read-only: dashboard, Prometheus at /metrics

[[vip]]
name = "shop"                     # the same on every server of the VIP: nodes share by it
listen = ["127.0.0.1:8443"]
certificate = "{CERTIFICATE}"          # for tests only: signed by itself, for localhost
private_key = "{PRIVATE_KEY}"
# backend = "127.0.0.1:8080"      # where decrypted bytes go; without it a built-in responder answers

[vip.sharing]
reach = "colo"                    # "server", "colo", a list such as ["ams1", "fra1"], or "everywhere"
# group = "storefront"            # VIPs of one group take each other's sessions; default: this VIP alone
lifetime_s = 3600                 # how long a session can be resumed
"""


def certificate_and_key() -> tuple[bytes, bytes]:
    """Return a self-signed certificate for localhost and its key, both in PEM."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meshcache test")])
    hosts: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName("shop.example")]
    hosts += [x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1")]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # a client's clock may be a little behind
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
