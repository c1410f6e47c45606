from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from meshcache.core.values.session import DER_BYTES_MAX
from meshcache.tls import creation, libssl
from meshcache.tls.functions import der_of, ffi
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    PyOpenSSLEnd,
    StdlibEnd,
    address_in,
    attach,
    client_context,
    server_context,
    server_end,
    shake_hands,
    visit,
)

pytestmark = [pytest.mark.usefixtures("hot_path"), pytest.mark.parametrize("kind", KINDS)]
by_version = pytest.mark.parametrize("version", VERSIONS)


@by_version
def test_a_session_larger_than_the_largest_is_not_kept(
    kind: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port)
    visit(context, client)
    size = len(next(iter(port.store.values())))
    assert size < DER_BYTES_MAX
    monkeypatch.setattr(creation, "DER_BYTES_MAX", size - 8)  # ages and ticket numbers take 1 to 5 bytes
    port.store.clear()
    visit(context, client)
    assert port.store == {}
    assert port.count("full") == 2


@by_version
def test_what_is_made_while_the_connection_asks_for_more_is_not_kept(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port).verify_mode = 1
    visit(context, client)
    assert port.log == [("full",), ("session_refused", Verdict.SETTINGS_DIFFER)]


@by_version
def test_what_is_made_under_scopes_that_changed_meanwhile_is_not_kept(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attachment = attach(context, port)
    server, end = server_end(context), StdlibEnd(client, server=False, name="a.test")
    scopes = attachment.scopes
    end.shake()
    server.feed(end.take())

    class Forgetful(type(scopes)):  # type: ignore[misc]
        def gave(self, _context: bytes) -> bool:
            return False

    attachment.scopes = Forgetful(scopes.names, scopes.digest)
    server.shake()
    end.feed(server.take())
    shake_hands(end, server)
    assert port.log == [("full",), ("session_refused", Verdict.SETTINGS_DIFFER)]


def test_further_tickets_are_kept_and_are_no_further_handshakes(kind: str) -> None:
    port, client = DictPort(), client_context("1.3")
    context = server_context(kind, "1.3")
    attach(context, port)
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, 3)
    visit(context, client)
    assert port.count("full") == 1
    assert [made[1] for made in port.made] == [0, 0, 0]


def test_a_session_of_an_unkept_version_is_not_kept(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "KEPT_VERSIONS", (0x0304,))
    port, client = DictPort(), client_context("1.2")
    context = server_context(kind, "1.2")
    attach(context, port)
    visit(context, client)
    assert port.log == [("full",), ("session_refused", Verdict.PROTOCOL)]


@by_version
def test_a_fault_in_removed_is_counted(kind: str, version: str) -> None:
    port, client = DictPort(), client_context(version)
    context = server_context(kind, version)
    attach(context, port, on_unclean_close="drop")

    def removed(_session_id: bytes) -> None:
        raise RuntimeError("on purpose")

    port.removed = removed  # type: ignore[method-assign]
    gone: Any = visit(context, client, close=False)
    del gone
    assert port.count("fault", "remove") == 1


def test_a_session_that_a_psk_of_the_applications_resumed_has_no_known_lineage(kind: str) -> None:
    """An external PSK counts as a resumption for OpenSSL; which handshake it began with nobody knows."""
    donor = PyOpenSSLEnd(SSL.Context(SSL.TLS_CLIENT_METHOD), server=False)
    shake_hands(donor, server_end(server_context("pyopenssl", "1.3")))
    found = libssl.find_connection(donor.tls)
    assert found is not None
    functions = found.library.functions
    der = der_of(functions.i2d_SSL_SESSION, functions.SSL_get_session(found.pointer))
    identity = ffi.new("char[]", b"identity")

    def session_in(context: Any) -> int:
        cursor = ffi.new("char *[1]", [ffi.from_buffer(der)])
        return int(libssl.find(context).library.functions.d2i_SSL_SESSION(0, cursor, len(der)))

    def find_session(_ssl: int, _identity: Any, _size: int, target: Any) -> int:
        target[0] = session_in(server)
        return 1

    def use_session(_ssl: int, _hash: Any, place: Any, size: Any, target: Any) -> int:
        place[0], size[0], target[0] = identity, 8, session_in(client)
        return 1

    client, server, port = SSL.Context(SSL.TLS_CLIENT_METHOD), server_context(kind, "1.3"), DictPort()
    attach(server, port)
    use = ffi.callback("int(uintptr_t, void *, char **, size_t *, uintptr_t *)", use_session)
    find = ffi.callback("int(uintptr_t, char *, size_t, uintptr_t *)", find_session)
    set_callback(client, "SSL_CTX_set_psk_use_session_callback", use)
    set_callback(server, "SSL_CTX_set_psk_find_session_callback", find)
    end = server_end(server)
    shake_hands(PyOpenSSLEnd(client, server=False), end)
    assert end.resumed
    assert port.made == []
    assert port.log == []


def set_callback(context: Any, name: str, callback: Any) -> None:
    found = libssl.find(context)
    setter = ffi.cast("void(*)(uintptr_t, uintptr_t)", address_in(found.library, name))
    setter(found.pointer, int(ffi.cast("uintptr_t", callback)))
