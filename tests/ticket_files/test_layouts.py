"""What nginx, HAProxy and OpenSSL get, byte for byte; that they do open each other's is `e2e/test_ticket_export.py`."""

from __future__ import annotations

import base64
import itertools
import re
from typing import Any

import pytest

from meshcache.core.values.ticket_key import TicketKey
from meshcache.ticket_files import layouts
from meshcache.ticket_files.layouts import FORMATS, ServerKey, Wanted, looks_ours, nobodys_key, render, server_key
from meshcache.tls import libssl
from meshcache.tls.functions import ffi
from tests.tls.world import VERSIONS, client_context, server_context, visit

RING = bytes(16)
SET_TICKET_KEYS = 59
"""SSL_CTRL_SET_TLSEXT_TICKET_KEYS, behind SSL_CTX_set_tlsext_ticket_keys(3)."""

PATH = "/run/meshcache/shop"


def key(generation: int, server: str = "nginx") -> ServerKey:
    return server_key(TicketKey(RING, bytes(range(generation, generation + 32)), generation, 0.0, 60, 60), server)


def wanted(*generations: int, encrypts: int | None, server: str = "nginx") -> Wanted:
    keys = tuple(key(each, server) for each in generations)
    return Wanted(next((k for k, g in zip(keys, generations, strict=True) if g == encrypts), None), keys)


def test_each_kind_of_server_gets_keys_of_its_own_and_none_is_the_mesh_s() -> None:
    made = TicketKey(RING, bytes(range(32)), 1, 0.0, 60, 60)
    keys = [server_key(made, server) for server in FORMATS]
    parts = [part for each in keys for part in (each.name, each.mac, each.aes)]
    ours = [made.name, made.derive("TLS AES-256-CBC"), made.derive("TLS HMAC-SHA-256"), made.reveal()]
    assert len({*parts, *ours}) == 3 * len(FORMATS) + 4
    assert {len(each.name_mac_aes) for each in keys} == {layouts.KEY_BYTES}


def test_a_wiped_key_is_never_derived_from() -> None:
    made = TicketKey(RING, bytes(range(32)), 1, 0.0, 60, 60)
    made.wipe()
    with pytest.raises(AssertionError):
        server_key(made, "nginx")


def test_no_key_is_shown() -> None:
    some = key(1)
    shown = repr(some) + repr(Wanted(some, (some,))) + repr(render("nginx", Wanted(some, (some,)), PATH))
    assert some.aes.hex() not in shown
    assert repr(some.aes) not in shown
    assert repr(some.mac) not in shown


def test_nginx_gets_a_file_for_each_key_and_a_list_that_begins_with_the_one_that_encrypts() -> None:
    made = render("nginx", wanted(3, 2, 1, encrypts=2), PATH)
    *names, conf = made.files
    assert conf == "tickets.conf", "it is written last, when all that it names are there"
    listed = re.findall(
        r'^ssl_session_ticket_key "/run/meshcache/shop/(\w+\.key)";$', made.files[conf].decode(), re.MULTILINE
    )
    assert listed == names == [f"{key(each).name.hex()}.key" for each in (2, 3, 1)]
    assert made.files[names[0]] == key(2).name + key(2).mac + key(2).aes
    assert all(map(layouts.is_key_file, names))
    assert made.labels == [key(each).key.hex()[:8] for each in (2, 3, 1)]


def lines(made: layouts.Rendered) -> list[bytes]:
    (content,) = made.files.values()
    return [base64.b64decode(line) for line in content.splitlines()]


def haproxy_keys(*generations: int) -> list[bytes]:
    keys = (key(each, "haproxy") for each in generations)
    return [each.name + each.aes + each.mac for each in keys]


def test_haproxy_gets_three_of_which_the_last_but_one_encrypts() -> None:
    made = render("haproxy", wanted(3, 2, 1, encrypts=2, server="haproxy"), PATH)
    assert list(made.files) == ["shop"]
    assert lines(made) == haproxy_keys(1, 2, 3)
    made = render("haproxy", wanted(3, 2, 1, encrypts=3, server="haproxy"), PATH)
    assert lines(made) == haproxy_keys(1, 3, 2)
    made = render("haproxy", wanted(5, 4, 3, 2, 1, encrypts=4, server="haproxy"), PATH)
    assert lines(made) == haproxy_keys(3, 4, 5)
    assert made.left_out == 2


def test_where_there_are_fewer_the_ring_s_own_are_there_more_than_once() -> None:
    for generations, encrypts, there in (((1,), 1, (1, 1, 1)), ((2, 1), 1, (1, 1, 2)), ((2, 1), 2, (1, 2, 1))):
        made = render("haproxy", wanted(*generations, encrypts=encrypts, server="haproxy"), PATH)
        assert lines(made) == haproxy_keys(*there)
        others = [each for each in generations if each != encrypts]
        assert made.labels == [key(each, "haproxy").key.hex()[:8] for each in (encrypts, *others)]
        assert made.left_out == 0


def test_between_two_commands_haproxy_encrypts_with_a_key_of_the_ring_and_still_opens_all_that_stay() -> None:
    """Each command drops the first key and appends one. A new key, which others may lack, doesn't encrypt early."""
    life = (((1,), 1), ((2, 1), 1), ((2, 1), 2), ((3, 2, 1), 2))
    held = lines(render("haproxy", wanted(*life[0][0], encrypts=1, server="haproxy"), PATH))
    for (before, _), (generations, encrypts) in itertools.pairwise(life):
        used, stay = [], haproxy_keys(*(each for each in generations if each in before))
        for line in lines(render("haproxy", wanted(*generations, encrypts=encrypts, server="haproxy"), PATH)):
            held = [*held[1:], line]
            used.append(held[1])
            assert set(held) >= set(stay)
        assert set(used) <= set(haproxy_keys(*range(1, encrypts + 1)))
        assert used[-1:] == haproxy_keys(encrypts)


def test_openssl_holds_one() -> None:
    made = render("openssl", wanted(2, 1, encrypts=1, server="openssl"), "/run/keys")
    some = key(1, "openssl")
    assert made.files == {"keys": some.name + some.mac + some.aes}
    assert made.left_out == 1


@pytest.mark.parametrize("server", FORMATS)
def test_without_a_key_the_server_gets_one_that_nobody_else_has(server: str) -> None:
    first, second = (render(server, Wanted(None, ()), PATH) for _ in range(2))
    assert first.files != second.files
    assert first.labels == []
    assert all(looks_ours(server, content) for name, content in first.files.items() if not name.endswith(".key"))


def test_a_key_that_opens_stays_openable_while_none_encrypts() -> None:
    made = render("nginx", wanted(1, encrypts=None), PATH)
    assert list(made.files)[1] == f"{key(1).name.hex()}.key"
    assert next(iter(made.files)) != f"{key(1).name.hex()}.key"


def test_what_else_could_lie_there_does_not_look_ours() -> None:
    for server in FORMATS:
        assert not looks_ours(server, b"root:x:0:0:root:/root:/bin/bash\n" * 20)
    assert looks_ours("openssl", nobodys_key().name_mac_aes)
    assert looks_ours("haproxy", b"")
    assert not layouts.is_key_file("shop.key")
    assert not layouts.is_key_file("../" + "a" * 29 + ".key")


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_itself_takes_its_file_and_two_contexts_with_it_take_each_others_tickets(version: str) -> None:
    def server(content: bytes) -> Any:
        context = server_context("stdlib", version)
        openssl, pointer = libssl.find(context)
        buffer = ffi.new("char[]", content)
        assert openssl.functions.SSL_CTX_ctrl(pointer, SET_TICKET_KEYS, len(content), buffer) == 1
        return context

    (file,) = render("openssl", wanted(1, encrypts=1, server="openssl"), PATH).files.values()
    (other,) = render("openssl", wanted(2, encrypts=2, server="openssl"), PATH).files.values()
    client = client_context(version)
    session = visit(server(file), client).session
    assert visit(server(file), client, session=session).resumed
    assert not visit(server(other), client, session=session).resumed
