from __future__ import annotations

import ctypes
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from meshcache.core.policy.scope import ClientAuth
from meshcache.errors import AttachError
from meshcache.tls import libssl
from meshcache.tls.facts import ContextFacts, certificate_identities, read_facts
from meshcache.tls.functions import ffi
from tests.tls.world import (
    KINDS,
    TLS_ERRORS,
    StdlibEnd,
    address_in,
    ask_clients,
    authority,
    bare_context,
    client_context,
    empty_list,
    give_certificate,
    load_list,
    server_certificate,
    server_context,
    server_end,
    shake_hands,
    write_pem,
)

pytestmark = pytest.mark.parametrize("kind", KINDS)


def facts(kind: str, prepare: Any = None, **more: Any) -> ContextFacts:
    context = server_context(kind, **more)
    if prepare is not None:
        prepare(context)
    return read_facts(context)


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def test_names_are_the_dns_names_of_the_certificate(kind: str) -> None:
    assert facts(kind, names=("B.test", "a.test", "*.w.test", "127.0.0.1")).names == ("*.w.test", "a.test", "b.test")


def test_the_chain_is_read_leaf_first(kind: str) -> None:
    middle = authority().create_child_ca()
    leaf = middle.issue_cert("a.test")
    context = bare_context(kind)
    give_certificate(context, leaf)
    assert read_facts(context).chain == tuple(der(blob.bytes()) for blob in leaf.cert_chain_pems)
    assert len(leaf.cert_chain_pems) == 2


def test_two_certificates_share_the_names_that_both_cover_and_the_current_one_stays(kind: str) -> None:
    context = bare_context(kind)
    give_certificate(context, server_certificate("a.test", "only-ecdsa.test"))
    rsa = authority().issue_cert("a.test", "only-rsa.test", key_type=trustme.KeyType.RSA)
    give_certificate(context, rsa)
    found = libssl.find(context)
    before = found.library.functions.SSL_CTX_get0_certificate(found.pointer)
    read = read_facts(context)
    assert read.names == ("a.test",)
    assert len(read.chain) == 2
    assert found.library.functions.SSL_CTX_get0_certificate(found.pointer) == before


def test_a_context_without_certificate_is_refused(kind: str) -> None:
    with pytest.raises(AttachError, match="no certificate yet"):
        read_facts(bare_context(kind))


def test_what_is_not_asked_of_clients_makes_no_difference(kind: str) -> None:
    assert facts(kind, authority().configure_trust).client_auth == facts(kind).client_auth == ClientAuth()


def test_each_thing_that_is_asked_of_clients_makes_a_difference(kind: str, tmp_path: Path) -> None:
    def depth(context: Any) -> None:
        ask_clients(context)
        if isinstance(context, SSL.Context):
            context.set_verify_depth(3)
        else:
            set_depth(context, 3)

    def both(context: Any) -> None:
        authority("second").configure_trust(context)
        ask_clients(context)

    revoked_list = empty_list()

    def revoked(context: Any) -> None:
        ask_clients(context)
        load_list(context, revoked_list, tmp_path)

    def named(context: Any) -> None:
        ask_clients(context)
        name_authority(context, tmp_path)

    settings: list[Any] = [None, ask_clients, depth, both, revoked, named]
    settings.append(lambda context: ask_clients(context, required=False))
    settings.append(lambda context: ask_clients(context, ca="second"))
    read = [facts(kind, setting).client_auth for setting in settings]
    assert len(set(read)) == len(read)
    assert read == [facts(kind, setting).client_auth for setting in settings], "and the same thing makes none"
    assert read[1].mode == 3
    assert read[-2].mode == 1


def set_depth(context: Any, depth: int) -> None:
    """Python's ssl has no function for it."""
    found = libssl.find(context)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)(address_in(found.library, "SSL_CTX_set_verify_depth"))(
        found.pointer, depth
    )


def name_authority(context: Any, folder: Path) -> None:
    """Send a CA's name to clients without trusting it, as load_client_ca does in pyOpenSSL."""
    pem = authority("named").cert_pem.bytes()
    if isinstance(context, SSL.Context):
        context.load_client_ca(str(write_pem(folder, "named.pem", pem)).encode())
    else:
        context.load_verify_locations(cadata=pem.decode())


def test_client_certificates_without_a_visible_authority_are_refused(kind: str, tmp_path: Path) -> None:
    context = server_context(kind)
    if isinstance(context, ssl.SSLContext):
        context.load_verify_locations(capath=str(tmp_path))
        context.verify_mode = ssl.CERT_REQUIRED
    else:
        context.load_verify_locations(None, str(tmp_path))
        context.set_verify(SSL.VERIFY_PEER)
    with pytest.raises(AttachError, match="no authority that could issue one is loaded"):
        read_facts(context)


def test_an_own_verify_callback_is_seen(kind: str) -> None:
    assert not facts(kind, ask_clients).own_callback
    if kind == "pyopenssl":

        def prepare(context: Any) -> None:
            ask_clients(context)
            context.set_verify(SSL.VERIFY_PEER, lambda *_: True)

        assert facts(kind, prepare).own_callback


@pytest.mark.parametrize(("version", "floor"), [("1.2", 0x0303), ("1.3", 0x0304)])
def test_the_floor_is_the_lowest_version_by_bound(kind: str, version: str, floor: int) -> None:
    assert facts(kind, version=version).tls_floor == floor


def test_the_floor_minds_versions_that_options_disable(kind: str) -> None:
    def no_tls12(context: Any) -> None:
        found = libssl.find(context)
        found.library.functions.SSL_CTX_set_options(found.pointer, 1 << 27)

    assert facts(kind, no_tls12).tls_floor == 0x0304
    with pytest.raises(AttachError, match="no version of TLS"):
        facts(kind, no_tls12, version="1.2")


def test_a_context_without_bounds_has_the_floor_of_openssl(kind: str) -> None:
    assert read_facts(_without_bounds(kind)).tls_floor == 0x0303


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_floor_is_what_a_client_of_tls_1_1_finds(kind: str, level: int) -> None:
    context = _without_bounds(kind)
    ciphers = f"ALL:@SECLEVEL={level}"
    context.set_ciphers(ciphers) if kind == "stdlib" else context.set_cipher_list(ciphers.encode())
    client = client_context()
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    try:
        shake_hands(StdlibEnd(client, server=False), server_end(context))
        accepted = True
    except TLS_ERRORS:
        accepted = False
    floor = read_facts(context).tls_floor
    assert floor == (0x0303 if level else 0x0301)
    assert not (accepted and floor > 0x0302), "what is accepted is never below the floor"


def _without_bounds(kind: str) -> Any:
    """A context as `SSL.Context(SSL.TLS_METHOD)` leaves it."""
    context = server_context(kind)
    found = libssl.find(context)
    found.library.functions.SSL_CTX_ctrl(found.pointer, 123, 0, ffi.NULL)
    return context


def test_a_certificate_without_names_is_known_as_a_whole_alone(kind: str) -> None:
    for certificate in (der(authority().cert_pem.bytes()), b"junk"):
        assert certificate_identities(certificate) == {"sha256:" + sha256(certificate).hexdigest()}


def test_identities_are_all_that_a_client_could_check(kind: str) -> None:
    def identities(*names: str, **more: Any) -> frozenset[str]:
        return certificate_identities(der(authority().issue_cert(*names, **more).cert_chain_pems[0].bytes()))

    assert identities("A.test", "127.0.0.1", common_name="ignored") == {"dns:a.test", "ip:127.0.0.1"}
    assert identities("127.0.0.1", "::1") == {"ip:127.0.0.1", "ip:::1"}
    assert identities("127.0.0.1", common_name="old") == {"ip:127.0.0.1", "cn:'old'"}
    (mail, whole) = sorted(identities("me@a.test"))
    assert (mail, whole[:7]) == ("RFC822Name:me@a.test", "sha256:")


def test_addresses_are_those_of_every_certificate(kind: str) -> None:
    context = bare_context(kind)
    give_certificate(context, server_certificate("127.0.0.1", "127.0.0.2"))
    rsa = authority().issue_cert("127.0.0.2", "127.0.0.3", key_type=trustme.KeyType.RSA)
    give_certificate(context, rsa)
    read = read_facts(context)
    assert (read.names, read.addresses) == ((), ("127.0.0.2",))
    assert read.identities == (("ip:127.0.0.1", "ip:127.0.0.2"), ("ip:127.0.0.2", "ip:127.0.0.3"))


def test_a_context_that_takes_raw_public_keys_is_refused(kind: str) -> None:
    context = server_context(kind)
    found = libssl.find(context)
    for which in ("client", "server"):
        try:
            address = address_in(found.library, f"SSL_CTX_set1_{which}_cert_type")
        except AssertionError:
            pytest.skip("this OpenSSL knows no raw public keys")
        set_types = ffi.cast("int(*)(uintptr_t, char *, size_t)", address)
        assert set_types(found.pointer, b"\x00\x02", 2) == 1
        with pytest.raises(AttachError, match="raw public keys"):
            read_facts(context)
        assert set_types(found.pointer, b"\x00", 1) == 1
        read_facts(context)


def test_whether_there_is_an_extended_master_secret_is_seen(kind: str) -> None:
    context = server_context(kind)
    assert read_facts(context).extended_master_secret
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_options(found.pointer, 1)
    assert not read_facts(context).extended_master_secret


def test_facts_keep_certificates_out_of_their_repr(kind: str) -> None:
    assert "chain" not in repr(facts(kind))


def test_equal_settings_read_equal_in_either_library(kind: str, tmp_path: Path) -> None:
    """Else a fleet of both kinds would be two islands."""
    other = "stdlib" if kind == "pyopenssl" else "pyopenssl"
    assert facts(kind, ask_clients) == facts(other, ask_clients)

    revoked = empty_list()

    def both(context: Any) -> None:
        ask_clients(context, required=False)
        load_list(context, revoked, tmp_path)

    assert facts(kind, both) == facts(other, both)
