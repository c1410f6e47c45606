"""Names that are looked up. The resolver is the outside world, so a table stands for it; localhost is real."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.checks import backend_faults, backend_notes
from meshcache.checks import backends as backends_module
from meshcache.checks.backends import resolve, why_not_there
from tests.checks.pki import Pki, settings


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    table: dict[str, str] = {}
    real, hanging = socket.getaddrinfo, threading.Event()

    def look_up(host: str, *args: Any, **kwargs: Any) -> Any:
        if host[0].isdigit():
            return real(host, *args, **kwargs)
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if table[host] == "hangs":
            hanging.wait(60)
        return real(table[host], *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield table
    hanging.set()


def test_addresses_are_not_looked_up_and_localhost_is_found() -> None:
    assert resolve(["127.0.0.1", "::1"]) == {}
    assert "127.0.0.1" in resolve(["localhost", "localhost"])["localhost"]


def test_a_name_that_is_not_known_is_a_note_with_its_place(pki: Pki, resolver: dict[str, str]) -> None:
    resolver["app.internal"] = "127.0.0.1"
    backend = ["app.internal:80", "ap.internal:80 weight=2", "127.0.0.1:81"]
    made = settings(pki, {"backend": backend}, mesh={"seeds": ["127.0.0.1:1", "dns:mesh.internal:7946"]})
    assert [note.partition(";")[0] for note in backend_notes(made)] == [
        "vip[0].backend[1]: ap.internal can't be resolved: name or service not known",
        "mesh.seeds[1]: mesh.internal can't be resolved: name or service not known",
    ]
    assert backend_faults(made) == []


def test_a_resolver_that_hangs_keeps_nobody(resolver: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends_module, "RESOLVE_S", 0.05)
    resolver["slow.internal"] = "hangs"
    assert resolve(["slow.internal"]) == {"slow.internal": "no answer within 0.05 s"}


def test_a_unix_socket_has_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    assert why_not_there(f"unix:{path}", {}) == f"unix:{path} isn't there: no such file or directory"
    path.touch()
    assert why_not_there(f"unix:{path}", {}) == f"unix:{path} is no socket"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert why_not_there(f"unix:{path}", {}) is None


@pytest.mark.parametrize(
    "listen,address,circle",
    [
        ("127.0.0.1:8443", "127.0.0.1", True),
        ("0.0.0.0:8443", "127.0.0.7", True),
        ("0.0.0.0:8443", "192.0.2.1", False),
        ("[::]:8443", "127.0.0.1", False),
        ("0.0.0.0:8444", "127.0.0.1", False),
    ],
)
def test_a_name_that_leads_back_to_this_server_is_a_fault(
    pki: Pki, resolver: dict[str, str], listen: str, address: str, circle: bool
) -> None:
    resolver["shop.internal"] = address
    found = backend_faults(settings(pki, {"listen": listen, "backend": ["unix:/run/a", "shop.internal:8443"]}))
    told = f"vip[0].backend[1]: shop.internal:8443 is where vip[0] of this file listens ({listen}), so connections"
    assert [fault.startswith(told) for fault in found] == [True] * circle
