"""cheroot as its page starts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cheroot.ssl.builtin import BuiltinSSLAdapter

from meshcache.contrib import cheroot
from tests.contrib.pages import Served, check
from tests.support.material import Authority


@pytest.mark.parametrize("served", ["cheroot", "cheroot over pyOpenSSL"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


def test_an_sni_callback_of_the_application_s_is_left_and_the_context_without_the_mesh(
    folder: Path, authority: Authority
) -> None:
    authority.write(folder)
    adapter = BuiltinSSLAdapter(str(folder / "shop.pem"), str(folder / "shop.key"))
    adapter.context.sni_callback = own = lambda *_: None
    cheroot.join(adapter, folder / "nosuch.toml")
    assert adapter.context.sni_callback is own
