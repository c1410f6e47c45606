"""The public names are there, come cheap until they are used, and are documented."""

from __future__ import annotations

import subprocess
import sys

import meshcache


def test_every_public_name_is_there_and_documented() -> None:
    for name in meshcache.__all__:
        assert getattr(meshcache, name).__doc__, name


def test_what_is_not_public_is_an_attribute_error() -> None:
    assert not hasattr(meshcache, "no_such_name")


def test_importing_the_package_starts_nothing_heavy() -> None:
    code = "import meshcache, sys; print(sorted({'aiohttp', 'rich', 'meshcache_server'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert out.strip() == "[]"
