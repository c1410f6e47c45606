"""Whether a node hears mDNS is asked as a neighbour would ask, and answered by the node itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshcache import Settings
from meshcache.doctor import mdns
from meshcache.doctor.finding import FindingState
from meshcache.edges.discovery import Announcement, MdnsDiscovery
from tests.support.waiting import wait_until

HERE = "127.0.0.1"


@pytest.fixture
def node() -> Iterator[int]:
    """A node's mDNS on loopback; the port where it listens for peers."""
    discovery = MdnsDiscovery(Announcement([f"{HERE}:1234"], "asked by doctor", ["d" * 16]), [HERE], lambda _: None)
    discovery.start()
    yield 1234
    discovery.close()


def settings(**mesh: object) -> Settings:
    return Settings.model_validate({"mesh": {"interfaces": [HERE], **mesh}})


def test_a_node_that_hears_answers(node: int) -> None:
    wait_until(lambda: mdns.answers(HERE, node), within_s=60)
    (found,) = mdns.hearing_findings(settings(), f"{HERE}:{node}")
    assert (found.state, found.text) == (FindingState.FINE, "this node hears and answers on 127.0.0.1")


def test_another_nodes_answer_is_not_this_nodes(node: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: mdns.answers(HERE, node), within_s=60)
    monkeypatch.setattr(mdns, "ASK_S", 0.2)
    (found,) = mdns.hearing_findings(settings(), f"{HERE}:{node + 1}")
    assert found.state is FindingState.PROBLEM
    assert "hears nothing there" in found.text
    assert "UDP port 5353" in found.do


def test_an_address_that_is_not_here_is_a_problem_and_without_mdns_nothing_is_asked() -> None:
    (found,) = mdns.hearing_findings(settings(interfaces=["192.0.2.77"]), f"{HERE}:1234")
    assert found.state is FindingState.PROBLEM
    (found,) = mdns.hearing_findings(settings(interfaces=["2001:db8::77"]), f"{HERE}:1234")
    assert "no interface has 2001:db8::77" in found.text
    assert list(mdns.hearing_findings(settings(mdns=False), f"{HERE}:1234")) == []
