from __future__ import annotations

import ssl
from typing import Any

import pytest

from meshcache.errors import HookError
from meshcache.tls import contexts, libssl, trial
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.functions import ffi
from tests.tls.world import KINDS, DictPort, attach, server_context

pytestmark = pytest.mark.usefixtures("hot_path")


def callbacks(kind: str) -> Callbacks:
    return Callbacks(libssl.find(server_context(kind)).library.functions)


@pytest.mark.parametrize("kind", KINDS)
def test_both_libraries_prove_fit_and_nothing_stays(kind: str) -> None:
    made = callbacks(kind)
    trial.prove(made)
    assert len(made) == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [("get", "the session did not resume"), ("new", "no session reached"), ("hello", "no session reached")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_that_is_not_called_is_noticed(kind: str, name: str, said: str) -> None:
    made = callbacks(kind)
    made.addresses[name] = 0
    with pytest.raises(HookError, match=rf"TLS 0x0303\) {said}.*Install"):
        trial.prove(made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_that_loses_its_token_is_noticed(kind: str) -> None:
    made = callbacks(kind)
    made.state.token_index = made.state.counted_index + 1_000
    with pytest.raises(HookError, match=r"the session (lost what it must carry|did not resume)"):
        trial.prove(made)


def test_a_library_that_failed_stays_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def fail(made: Callbacks) -> None:
        calls.append(made)
        raise HookError("not fit")

    monkeypatch.setattr(contexts, "prove", fail)
    monkeypatch.setattr(contexts, "_callbacks", {})
    monkeypatch.setattr(contexts, "_unfit", {})
    context = server_context("stdlib")
    before = options(context)
    for _ in range(2):
        with pytest.raises(HookError, match="not fit"):
            attach(context, DictPort())
    assert len(calls) == 1
    assert options(context) == before, "the context is as it was"


def options(context: ssl.SSLContext) -> tuple[int, int]:
    found = libssl.find(context)
    get_mode = 45  # SSL_CTRL_GET_SESS_CACHE_MODE
    functions = found.library.functions
    return functions.SSL_CTX_get_options(found.pointer), functions.SSL_CTX_ctrl(found.pointer, get_mode, 0, ffi.NULL)


def test_an_object_that_cannot_be_made_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = callbacks("stdlib")
    monkeypatch.setattr(made.functions, "SSL_new", lambda _context: 0)
    with pytest.raises(HookError, match="makes no objects"):
        trial.prove(made)
