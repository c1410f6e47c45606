"""What a connection gets of the context that its server name moves it to, and what of the one it came to.

OpenSSL's manual leaves it open (SSL_set_SSL_CTX has no page of its own), so both libraries are asked by real
handshakes: what is carried over is served, what isn't must be equal.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.tls.carried import differences, left_behind
from meshcache.tls.contexts import chosen_for, left_behind_by
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import find, find_connection
from meshcache.tls.names import NameCallback, NameMap, set_sni_callback
from tests.tls.world import (
    KINDS,
    TLS_ERRORS,
    DictPort,
    Visit,
    ask_clients,
    attach,
    authority,
    bare_context,
    client_certificate,
    client_context,
    server_context,
    visit,
)

pytestmark = pytest.mark.usefixtures("hot_path")

by_kind = pytest.mark.parametrize("kind", KINDS)

Change = Callable[[Any], object]


def nothing(_context: Any) -> None:
    """Leave it as it is."""


def moved(
    kind: str,
    *,
    listening: Change = nothing,
    named: Change = nothing,
    client: Change = nothing,
    version: str | None = None,
    tls: ssl.SSLContext | None = None,
    port: DictPort | None = None,
) -> Visit:
    """A visit to a context that listens, by a name that leads to another."""
    one, other = server_context(kind, version, ("listening.test",)), server_context(kind, version, ("a.test",))
    listening(one)
    named(other)
    names = NameMap(one, find(one).pointer, refuses=False)
    names.put("a.test", other, find(other).pointer)
    port = port or DictPort()
    attach(one, port, names=names)
    attach(other, port)
    set_sni_callback(one, NameCallback(names, chosen_for))
    visitor = tls or client_context(version)
    client(visitor)
    return visit(one, visitor)


def ciphers(names: str) -> Change:
    return lambda context: (
        context.set_ciphers(names) if hasattr(context, "set_ciphers") else context.set_cipher_list(names.encode())
    )


def is_pyopenssl(context: Any) -> bool:
    return isinstance(context, SSL.Context)


@by_kind
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_certificate_is_the_named_contexts(kind: str, version: str) -> None:
    seen = moved(kind, version=version).client.tls.getpeercert()
    assert seen["subjectAltName"] == (("DNS", "a.test"),)


@by_kind
def test_the_cipher_list_is_the_named_contexts(kind: str) -> None:
    seen = moved(
        kind,
        version="1.2",
        listening=ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"),
        named=ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"),
    )
    assert "AES256" in seen.client.tls.cipher()[0]


def test_the_ciphers_of_tls_13_are_the_named_contexts() -> None:
    seen = moved(
        "pyopenssl",
        version="1.3",
        listening=lambda context: context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256"),
        named=lambda context: context.set_tls13_ciphersuites(b"TLS_CHACHA20_POLY1305_SHA256"),
    )
    assert seen.client.tls.cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"


@by_kind
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_application_protocol_is_the_named_contexts(kind: str, version: str) -> None:
    def speaks(protocol: str) -> Change:
        def change(context: Any) -> None:
            if is_pyopenssl(context):
                context.set_alpn_select_callback(lambda _connection, _offered: protocol.encode())
            else:
                context.set_alpn_protocols([protocol])

        return change

    seen = moved(
        kind,
        version=version,
        listening=speaks("one"),
        named=speaks("other"),
        client=lambda context: context.set_alpn_protocols(["one", "other"]),
    )
    assert seen.client.tls.selected_alpn_protocol() == "other"


@by_kind
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_authorities_that_are_trusted_are_the_named_contexts(kind: str, version: str) -> None:
    good = client_context(version, authority("other").issue_cert("client@example.test"))
    change: dict[str, Change] = {"listening": ask_clients, "named": lambda context: ask_clients(context, ca="other")}
    assert moved(kind, version=version, tls=good, **change).server.peer
    with pytest.raises(TLS_ERRORS):
        moved(kind, version=version, tls=client_context(version, client_certificate()), **change)


@by_kind
def test_the_security_level_is_the_named_contexts(kind: str) -> None:
    seen = moved(kind, listening=ciphers("DEFAULT:@SECLEVEL=0"), named=ciphers("DEFAULT:@SECLEVEL=2"))
    found = find_connection(seen.server.tls)
    assert found is not None
    library, pointer = found
    assert library.functions.SSL_get_security_level(pointer) == 2


def test_the_info_callback_is_the_named_contexts() -> None:
    told = []
    moved(
        "pyopenssl",
        listening=lambda context: context.set_info_callback(lambda *_: told.append("listening")),
        named=lambda context: context.set_info_callback(lambda *_: told.append("named")),
    )
    assert told[0] == "listening", "before its name is known"
    assert told[-1] == "named"


# What stays as it was where the connection came to


@by_kind
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_is_asked_of_clients_is_not_carried_over(kind: str, version: str) -> None:
    seen = moved(kind, version=version, named=ask_clients)
    assert seen.server.peer is None, "who has no certificate is let in"


def test_the_verify_callback_is_not_carried_over() -> None:
    asked = []

    def asks(who: str) -> Change:
        def change(context: Any) -> None:
            ask_clients(context)
            context.set_verify(SSL.VERIFY_PEER, lambda *_: bool(asked.append(who)) or True)

        return change

    moved(
        "pyopenssl", tls=client_context("1.3", client_certificate()), listening=asks("listening"), named=asks("named")
    )
    assert set(asked) == {"listening"}


@by_kind
def test_versions_are_not_carried_over(kind: str) -> None:
    def only_old(context: Any) -> None:
        if is_pyopenssl(context):
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        else:
            context.maximum_version = ssl.TLSVersion.TLSv1_2

    assert moved(kind, named=only_old).client.tls.version() == "TLSv1.3"


@by_kind
def test_options_are_not_carried_over(kind: str) -> None:
    def no_new(context: Any) -> None:
        if is_pyopenssl(context):
            context.set_options(SSL.OP_NO_TLSv1_3)
        else:
            context.options |= ssl.OP_NO_TLSv1_3

    assert moved(kind, named=no_new).client.tls.version() == "TLSv1.3"


@by_kind
def test_the_number_of_tickets_is_not_carried_over(kind: str) -> None:
    def gives(number: int) -> Change:
        def change(context: Any) -> None:
            library, pointer = find(context)
            library.functions.SSL_CTX_set_num_tickets(pointer, number)

        return change

    port = DictPort()
    moved(kind, version="1.3", listening=gives(1), named=gives(4), port=port)
    assert len(port.made) == 1


@by_kind
def test_groups_are_not_carried_over(kind: str) -> None:
    def only(curve: str) -> Change:
        def change(context: Any) -> None:
            if is_pyopenssl(context):
                from cryptography.hazmat.primitives.asymmetric import ec

                context.set_tmp_ecdh(ec.SECP256R1() if curve == "prime256v1" else ec.SECP384R1())
            else:
                context.set_ecdh_curve(curve)

        return change

    moved(kind, listening=only("prime256v1"), named=only("secp384r1"), client=only("prime256v1"))
    with pytest.raises(TLS_ERRORS):
        moved(kind, listening=only("prime256v1"), named=only("secp384r1"), client=only("secp384r1"))


# And so they must be equal


@by_kind
def test_equal_contexts_differ_in_nothing(kind: str) -> None:
    assert differences(left_behind_by(server_context(kind)), left_behind_by(server_context(kind))) == []


@by_kind
def test_attaching_a_context_makes_no_difference(kind: str) -> None:
    one, other = server_context(kind), server_context(kind)
    attach(one, DictPort(), tickets=1)
    assert differences(left_behind_by(one), left_behind_by(other)) == []


@by_kind
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("verify_mode", "required"),
        ("maximum_version", "TLS 1.2"),
        ("options", "0x"),
        ("num_tickets", "3"),
    ],
)
def test_what_differs_is_named_with_both_values(kind: str, setting: str, value: str) -> None:
    def change(context: Any) -> None:
        library, pointer = find(context)
        functions = library.functions
        if setting == "verify_mode":
            ask_clients(context)
        elif setting == "maximum_version":
            functions.SSL_CTX_ctrl(pointer, 124, 0x0303, ffi.NULL)  # SSL_CTRL_SET_MAX_PROTO_VERSION
        elif setting == "options":
            functions.SSL_CTX_set_options(pointer, 1 << 30)  # SSL_OP_NO_RENEGOTIATION
        else:
            functions.SSL_CTX_set_num_tickets(pointer, 3)

    mine = server_context(kind)
    change(mine)
    (said, *_) = differences(left_behind_by(mine), left_behind_by(server_context(kind)))
    assert said.startswith(f"{setting} is {value}")
    assert "where the listening context's is" in said


def test_how_clients_are_verified_is_compared_only_where_they_are() -> None:
    one, other = bare_context("stdlib"), bare_context("stdlib")
    one.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    assert left_behind_by(one) == left_behind_by(other)
    ask_clients(one)
    ask_clients(other)
    assert [each.split()[0] for each in differences(left_behind_by(one), left_behind_by(other))] == ["verify_flags"]


def test_a_number_of_tickets_that_the_mesh_gave_is_no_setting_of_the_programs() -> None:
    context = server_context("stdlib")
    attach(context, DictPort(), tickets=4)
    library, pointer = find(context)
    assert left_behind(library.functions, pointer).num_tickets == 4
    assert left_behind_by(context).num_tickets == 2
