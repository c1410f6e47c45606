"""What the doctor finds when it asks backends itself."""

from __future__ import annotations

import socket
from pathlib import Path

from meshcache import Settings, VipSettings
from meshcache.doctor.backends import backend_findings
from meshcache.doctor.finding import Finding, FindingState
from tests.support.fronts import free_port


def found(*backend: str) -> list[Finding]:
    return list(backend_findings(Settings(vip=[VipSettings(name="shop", backend=backend), VipSettings(name="pay")])))


def test_backends_that_accept_are_fine(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "app.sock"))
        unix.listen()
        (finding,) = found(f"localhost:{tcp.getsockname()[1]}", f"unix:{tmp_path}/app.sock weight=2")
        (one,) = found(f"127.0.0.1:{tcp.getsockname()[1]}")
    assert finding.state is FindingState.FINE
    assert finding.name == "backends of VIP shop"
    assert finding.text.startswith("all 2 accept connections, the slowest within ")
    assert one.text.startswith("the only one accepts connections")


def test_each_that_does_not_is_named_with_its_reason(tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as alive, socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf.sock"))
        gone, deaf_one = f"unix:{tmp_path}/gone.sock", f"unix:{tmp_path}/deaf.sock"
        (finding,) = found(f"127.0.0.1:{port}", f"127.0.0.1:{alive.getsockname()[1]}", gone, deaf_one)
    assert finding.state is FindingState.PROBLEM
    assert finding.do
    assert finding.text == (
        f"3 of 4 can't be reached from here: 127.0.0.1:{port}: connection refused; {gone} isn't there: no such file or "
        f"directory; {deaf_one}: connection refused"
    )


def test_one_that_is_drained_is_not_asked() -> None:
    (finding,) = found("unix:/nowhere/1", "unix:/nowhere/2 weight=0")
    assert finding.text.startswith("1 of 1 can't be reached")


def test_of_many_the_first_are_named() -> None:
    (finding,) = found(*(f"unix:/nowhere/{number}" for number in range(8)))
    assert finding.text.startswith("8 of 8 can't be reached")
    assert finding.text.endswith("; and 3 more")
