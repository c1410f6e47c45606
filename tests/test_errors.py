"""Whoever catches MeshcacheError catches all that is raised on purpose; a broken file tells all its faults."""

from __future__ import annotations

import inspect

import pytest

from meshcache import errors
from meshcache.errors import ConfigError, MeshcacheError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_one_of_ours_and_on_the_map_above(kind: type[Exception]) -> None:
    assert issubclass(kind, MeshcacheError)
    assert kind.__name__ in (errors.__doc__ or "")


def test_a_configuration_tells_all_its_faults_at_once() -> None:
    error = ConfigError(["node.name: too long", "vip[0].listen: port 99999"])
    assert error.faults == ["node.name: too long", "vip[0].listen: port 99999"]
    assert str(error).splitlines() == error.faults
