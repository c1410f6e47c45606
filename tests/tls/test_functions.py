from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from meshcache.errors import HookError
from meshcache.tls import elf, libssl
from meshcache.tls.functions import NEWER, PROTOTYPES, Functions, der_of


def test_missing_functions_are_named() -> None:
    with pytest.raises(HookError, match=r"it lacks SSL_CTX_sess_set_get_cb, d2i_SSL_SESSION$"):
        Functions(lambda name: None if name in ("d2i_SSL_SESSION", "SSL_CTX_sess_set_get_cb") else 1)


def test_what_only_newer_libraries_have_is_answered_with_nothing_where_it_is_missing() -> None:
    functions = Functions(lambda name: None if name in NEWER else 1)
    assert [getattr(functions, name)(1, 2, 3) for name in NEWER] == [0] * len(NEWER)


def test_many_missing_functions_are_not_all_named() -> None:
    with pytest.raises(HookError, match=r"it lacks BIO_new, .* and more$"):
        Functions(lambda _name: None)


def test_every_function_is_there_in_both_libraries_and_none_is_loaded_for_nothing() -> None:
    functions = libssl.find(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).library.functions
    assert all(callable(getattr(functions, name)) for name in PROTOTYPES)
    here = Path(elf.__file__).parent
    users = (*here.glob("*.py"), *(here.parent / "hot").glob("*.c"))
    sources = "".join(path.read_text() for path in users)
    assert [name for name in PROTOTYPES if sources.count(name) < 2] == []


def test_what_cannot_be_encoded_is_empty() -> None:
    assert der_of(lambda _thing, _target: -1, 1) == b""
