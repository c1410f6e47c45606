"""Tests of `server.application`: what is written there is what the two sides have."""

from __future__ import annotations

import inspect

import pytest
from meshcache_server.applications.application import Application, Client
from meshcache_server.applications.forwarding import Forwarding
from meshcache_server.applications.responder import Responder
from meshcache_server.connections.connection import ClientConnection


def methods(kind: type) -> dict[str, object]:
    return {name: value for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}


@pytest.mark.parametrize(
    ("written", "real"), [(Application, Forwarding), (Application, Responder), (Client, ClientConnection)]
)
def test_each_side_has_every_method_as_written(written: type, real: type) -> None:
    assert methods(written)
    for name, method in methods(written).items():
        assert inspect.signature(getattr(real, name)) == inspect.signature(method), name  # type: ignore[arg-type]
