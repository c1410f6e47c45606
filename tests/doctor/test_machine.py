"""What this machine can and can't do, told as it is."""

from __future__ import annotations

import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from meshcache import HookError, Settings, hot
from meshcache.config import NodeSettings
from meshcache.doctor import machine
from meshcache.doctor.finding import FindingState


def settings(**tables: Any) -> Settings:
    return Settings.model_validate(tables)


def test_both_opensslers_can_be_hooked_here() -> None:
    found = list(machine.hook_findings())
    assert [finding.name for finding in found] == ["hooks of pyOpenSSL", "hooks of Python's ssl"]
    assert {finding.state for finding in found} == {FindingState.FINE}
    assert "OpenSSL" in found[0].text


def test_an_openssl_that_can_not_be_hooked_is_a_problem_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_callbacks: object) -> None:
        raise HookError("install the wheel")

    monkeypatch.setattr(machine, "prove", fail)
    ours, stdlib = machine.hook_findings()
    assert (ours.state, stdlib.state) == (FindingState.PROBLEM, FindingState.NOTE)
    assert "install the wheel" in ours.text


def test_a_server_in_python_is_worth_a_note_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hot.PURE, raising=False)
    assert machine.server_steps_finding("c").state is FindingState.FINE
    found = machine.server_steps_finding("python")
    assert (found.state, found.do) == (FindingState.NOTE, "install gcc and python3-dev, then meshcache again")
    monkeypatch.setenv(hot.PURE, "1")
    assert machine.server_steps_finding("python").do == "unset MESHCACHE_PURE"


def test_the_hot_path_in_python_is_worth_a_note_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "compiled", None)
    monkeypatch.setattr(hot, "why_not", "the compiled module can't be had: no")
    monkeypatch.delenv(hot.PURE, raising=False)
    found = machine.hot_path_finding()
    assert (found.state, found.do) == (FindingState.NOTE, "install gcc and python3-dev, then meshcache again")
    monkeypatch.setenv(hot.PURE, "1")
    assert machine.hot_path_finding().do == "unset MESHCACHE_PURE"
    monkeypatch.setattr(hot, "compiled", object())
    assert machine.hot_path_finding().state is FindingState.FINE


class TestMulticast:
    def test_it_works_on_loopback(self) -> None:
        (found,) = machine.multicast_findings(settings(mesh={"interfaces": ["127.0.0.1"]}))
        assert found.state is FindingState.FINE

    def test_without_mdns_it_is_not_tried(self) -> None:
        (found,) = machine.multicast_findings(settings(mesh={"mdns": False, "interfaces": ["127.0.0.1"]}))
        assert found.state is FindingState.SKIPPED

    def test_an_interface_that_is_not_here_is_a_problem_with_what_to_do(self) -> None:
        (found,) = machine.multicast_findings(settings(mesh={"interfaces": ["192.0.2.77"]}))
        assert found.state is FindingState.PROBLEM
        assert "192.0.2.77" in found.text
        assert "mesh.seeds" in found.do
        assert "no interface has" in machine.multicast_fault("2001:db8::77") or machine.multicast_fault("2001:db8::77")

    def test_silence_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "MULTICAST_S", 0.05)
        monkeypatch.setattr(machine, "_join", lambda receiver, *_: _bound(receiver))
        monkeypatch.setattr(machine, "speak_on", lambda *_: None)
        assert "did not arrive" in machine.multicast_fault("127.0.0.1")


def _bound(receiver: socket.socket) -> tuple[str, int]:
    """A socket that nobody sends to, and an address where nobody listens."""
    receiver.settimeout(0.05)
    receiver.bind(("127.0.0.1", 0))
    return "127.0.0.1", 9


LISTENING = {"name": "shop", "listen": "127.0.0.1:0", "certificate": "x", "private_key": "y"}


class TestFiles:
    @pytest.mark.parametrize("limit, state", [(10_266, FindingState.FINE), (10_265, FindingState.PROBLEM)])
    def test_the_border_is_exact(self, limit: int, state: FindingState) -> None:
        found = machine.file_limit_finding(settings(vip=[LISTENING]), 2, limit)
        assert found.state is state
        if state is FindingState.PROBLEM:
            assert "LimitNOFILE= in the unit (or ulimit -n) to 10266" in found.do

    def test_a_backend_takes_a_file_more_for_each_connection_and_no_listener_none(self) -> None:
        proxied = [{**LISTENING, "backend": "127.0.0.1:80"}]
        assert machine.file_limit_finding(settings(vip=proxied), 0, 20_255).state is FindingState.PROBLEM
        assert machine.file_limit_finding(settings(vip=[{"name": "shop"}]), 0, 256).state is FindingState.FINE

    def test_without_a_limit_it_is_fine(self) -> None:
        assert "any number" in machine.file_limit_finding(settings(), 0, resource.RLIM_INFINITY).text
        assert machine.file_limit_finding(settings(), 0).state is FindingState.FINE

    def test_the_limit_of_a_process_is_read_from_the_kernel(self) -> None:
        assert machine.files_of_process(os.getpid()) == resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        assert machine.files_of_process(2**30) is None


class TestClock:
    def test_one_that_was_never_set_is_a_problem(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine.time, "gmtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
        (found,) = machine.clock_findings()
        assert (found.state, "1970" in found.text) == (FindingState.PROBLEM, True)

    @pytest.mark.parametrize(
        "answer, state", [(True, FindingState.FINE), (False, FindingState.NOTE), (None, FindingState.SKIPPED)], ids=str
    )
    def test_what_the_kernel_says_is_told(
        self, monkeypatch: pytest.MonkeyPatch, answer: bool | None, state: FindingState
    ) -> None:
        monkeypatch.setattr(machine, "_is_synchronised", lambda: answer)
        (found,) = machine.clock_findings()
        assert found.state is state

    def test_the_kernel_can_be_asked(self) -> None:
        assert machine._is_synchronised() in (True, False, None)


def test_no_state_folder_is_worth_knowing() -> None:
    finding = machine.state_finding(Settings(node=NodeSettings(state_dir=None)))
    assert finding.state is FindingState.NOTE
    assert "a restart forgets" in finding.text


def test_a_state_folder_that_can_not_be_made_is_a_problem(tmp_path: Path) -> None:
    made = settings(node={"name": "a", "state_dir": str(tmp_path / "deep" / "state")})
    assert machine.state_finding(made).state is FindingState.FINE
    (tmp_path / "deep").write_text("a file")
    found = machine.state_finding(made)
    assert (found.state, "is no folder" in found.text) == (FindingState.PROBLEM, True)
