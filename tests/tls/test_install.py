from __future__ import annotations

from typing import Any

import pytest

from meshcache.errors import AttachError
from meshcache.tls import libssl
from meshcache.tls.functions import ffi
from meshcache.tls.install import SSL_OP_NO_TICKET, TICKETS
from tests.tls.world import KINDS, DictPort, address_in, attach, client_context, server_context, visit

GET_SESS_CACHE_MODE = 45

pytestmark = [pytest.mark.usefixtures("hot_path"), pytest.mark.parametrize("kind", KINDS)]


def test_tickets_cache_and_early_data_are_set(kind: str) -> None:
    context = server_context(kind)
    attach(context, DictPort())
    found = libssl.find(context)
    functions = found.library.functions
    assert functions.SSL_CTX_get_options(found.pointer) & SSL_OP_NO_TICKET
    assert functions.SSL_CTX_ctrl(found.pointer, GET_SESS_CACHE_MODE, 0, ffi.NULL) == 0x0302
    for name, expected in (("SSL_CTX_get_num_tickets", TICKETS), ("SSL_CTX_get_max_early_data", 0)):
        read = ffi.cast("size_t(*)(uintptr_t)", address_in(found.library, name))
        assert read(found.pointer) == expected


def test_the_contexts_own_scope_is_random(kind: str) -> None:
    """What the ClientHello callback doesn't decide about shares nothing, between two contexts of one VIP as well."""
    seen: set[bytes] = set()
    for _ in range(3):
        context = server_context(kind)
        attach(context, DictPort())
        found = libssl.find(context)
        functions = found.library.functions
        functions.SSL_CTX_set_client_hello_cb(found.pointer, 0, 0)
        visited = visit(context, client_context())  # kept: the session read below is its connection's
        connection = libssl.find_connection(visited.server.tls)
        assert connection is not None
        count = ffi.new("unsigned int[1]")
        place = functions.SSL_SESSION_get0_id_context(functions.SSL_get_session(connection.pointer), count)
        seen.add(ffi.unpack(place, count[0]))
    assert len(seen) == 3
    assert {len(context) for context in seen} == {32}


def test_a_context_that_refuses_a_setting_is_an_error_and_not_attached(kind: str) -> None:
    context = server_context(kind)
    attach(context, DictPort()).detach()
    library, _ = libssl.find(context)
    attachments: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:  # of its own: to undo the fixture's would leave this hot path
        patch.setattr(library.functions, "SSL_CTX_set_num_tickets", lambda *_: 0)
        with pytest.raises(AttachError, match="refuses the settings"):
            attachments.append(attach(context, DictPort()))
    assert attach(context, DictPort(name="other")).attached, "it is in no VIP"


@pytest.mark.parametrize("tickets", [1, 2, 4])
def test_a_full_handshake_of_tls_1_3_gives_as_many_tickets_as_are_asked_for(kind: str, tickets: int) -> None:
    port, client = DictPort(), client_context("1.3")
    context = server_context(kind, "1.3")
    attach(context, port, tickets=tickets)
    first = visit(context, client)
    assert len(port.made) == len(port.store) == tickets
    assert port.log.count(("full",)) == 1
    assert visit(context, client, session=first.session).resumed
    assert len(port.made) == tickets + 1, "a resumed one renews the one it used"


def _tickets(context: Any) -> int:
    found = libssl.find(context)
    return int(found.library.functions.SSL_CTX_get_num_tickets(found.pointer))


@pytest.mark.parametrize("own", [0, 1, 3])
def test_a_program_s_own_number_of_tickets_is_kept(kind: str, own: int) -> None:
    context = server_context(kind)
    found = libssl.find(context)
    found.library.functions.SSL_CTX_set_num_tickets(found.pointer, own)
    attachment = attach(context, DictPort(), tickets=4)
    assert _tickets(context) == own
    attachment.limit(60, 2)
    assert _tickets(context) == own
    attach(context, DictPort(), tickets=4)
    assert _tickets(context) == own


def test_a_number_that_came_with_the_vip_changes_with_it(kind: str) -> None:
    context = server_context(kind)
    attachment = attach(context, DictPort(), tickets=4)
    assert _tickets(context) == 4
    attachment.limit(60, 3)
    assert _tickets(context) == 3
    attach(context, DictPort(), tickets=1)
    assert _tickets(context) == 1
