"""docs/security.md names limits and files that exist, and tests that run."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from meshcache.core.values.limits import Limits
from meshcache.core.values.session import DER_BYTES_MAX
from meshcache.tls.functions import ffi
from tests.tls.world import KINDS, VERSIONS, DictPort, attach, client_context, server_context, visit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text()


def test_every_limit_that_it_names_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+\.)+[A-Z_0-9]+)`", PAGE))
    assert len(named) > 20
    for name in named:
        module, _, constant = name.rpartition(".")
        assert isinstance(getattr(import_module(f"meshcache.{module}"), constant), int | float), name
    known = {field.name for field in fields(Limits)}
    assert set(re.findall(r"`Limits\.(\w+)`", PAGE)) <= known


def test_every_file_that_it_names_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))
    assert len(named) > 12
    for name in named:
        assert (ROOT / "meshcache" / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_buffer_through_which_a_der_leaves_openssl_is_overwritten(kind: str, version: str) -> None:
    port, context = DictPort(), server_context(kind, version)
    attachment = attach(context, port)
    visit(context, client_context(version))
    (der,) = port.store.values()
    state = attachment.callbacks.state
    assert state.scratch
    for scratch in state.scratch:
        assert der[-16:] not in ffi.unpack(scratch.der, DER_BYTES_MAX)
