"""What is changed on a context is seen by its name."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from OpenSSL import SSL

from meshcache.tls.drift import changed
from tests.tls.world import DictPort, attach, server_context


def stdlib_changes() -> dict[str, Any]:
    return {
        "session_tickets": lambda c: setattr(c, "options", c.options & ~ssl.OP_NO_TICKET),
        "options": lambda c: setattr(c, "options", c.options | ssl.OP_NO_RENEGOTIATION),
        "num_tickets": lambda c: setattr(c, "num_tickets", 4),
        "verify_mode": lambda c: setattr(c, "verify_mode", ssl.CERT_REQUIRED),
        "minimum_version": lambda c: setattr(c, "minimum_version", ssl.TLSVersion.TLSv1_3),
        "maximum_version": lambda c: setattr(c, "maximum_version", ssl.TLSVersion.TLSv1_2),
        "sni_callback": lambda c: setattr(c, "sni_callback", lambda *_: None),
    }


@pytest.mark.parametrize("name", stdlib_changes())
def test_each_setting_of_the_standard_librarys_contexts(name: str) -> None:
    context = server_context("stdlib")
    attachment = attach(context, DictPort())
    before = attachment.setup
    assert before is not None
    assert attachment.setup_now() == before
    stdlib_changes()[name](context)
    now = attachment.setup_now()
    assert now is not None
    assert changed(before, now) == [name]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("session_cache_mode", lambda c: c.set_session_cache_mode(SSL.SESS_CACHE_OFF)),
        ("verify_mode", lambda c: c.set_verify(SSL.VERIFY_PEER)),
        ("sni_callback", lambda c: c.set_tlsext_servername_callback(lambda _: None)),
    ],
)
def test_each_setting_of_pyopenssls_contexts(name: str, change: Any) -> None:
    context = server_context("pyopenssl")
    attachment = attach(context, DictPort())
    before = attachment.setup
    change(context)
    now = attachment.setup_now()
    assert before is not None
    assert now is not None
    assert changed(before, now) == [name]


def test_of_a_context_that_has_left_nothing_is_told() -> None:
    attachment = attach(server_context("stdlib"), DictPort())
    attachment.detach()
    assert attachment.setup_now() is None
