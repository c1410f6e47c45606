from __future__ import annotations

from typing import Any

import pytest

from meshcache.errors import AttachError
from meshcache.tls import libssl
from meshcache.tls.functions import ffi
from meshcache.tls.install import SSL_OP_NO_TICKET, TICKETS
from tests.tls.world import KINDS, DictPort, address_in, attach, client_context, server_context, visit

GET_SESS_CACHE_MODE = 45

pytestmark = pytest.mark.parametrize("kind", KINDS)


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
    """Without the ClientHello callback, what two contexts of one VIP make resumes on neither of the two."""
    port, client = DictPort(), client_context()
    sessions = []
    contexts = [server_context(kind), server_context(kind)]
    for context in contexts:
        attach(context, port)
        found = libssl.find(context)
        found.library.functions.SSL_CTX_set_client_hello_cb(found.pointer, 0, 0)
        sessions.append(visit(context, client).session)
    assert port.store == {}
    assert not visit(contexts[0], client, session=sessions[1]).resumed


def test_a_context_that_refuses_a_setting_is_an_error_and_not_attached(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = server_context(kind)
    attach(context, DictPort()).detach()
    found = libssl.find(context)
    monkeypatch.setattr(found.library.functions, "SSL_CTX_set_num_tickets", lambda *_: 0)
    attachments: list[Any] = []
    with pytest.raises(AttachError, match="refuses the settings"):
        attachments.append(attach(context, DictPort()))
    monkeypatch.undo()
    assert attach(context, DictPort(name="other")).attached, "it is in no VIP"
