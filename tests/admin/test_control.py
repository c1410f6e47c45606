"""Changes over the Unix socket: what is asked reaches the node, what is refused says why; HTTP changes nothing."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshcache.admin.client import AdminClient
from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from meshcache.errors import AdminError, PolicyError
from tests.admin.nodes import PlainNode, ask


class Wheel:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.fault: Exception | None = None

    def _note(self, *what: Any) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        self.told.append(what)
        return {"done": True}

    def set_policy(self, vip: str, values: dict[str, str], *, node_only: bool = False) -> dict[str, Any]:
        return self._note("set", vip, values, node_only)

    def unset_policy(self, vip: str, keys: list[str], *, node_only: bool = False) -> dict[str, Any]:
        return self._note("unset", vip, keys, node_only)

    def withdraw(self, **what: Any) -> dict[str, Any]:
        return self._note("withdraw", what)

    def explain_way(self, source: str, target: str) -> dict[str, Any]:
        return self._note("way", source, target)

    def explain_session(self, session: str) -> dict[str, Any]:
        return self._note("session", session)

    def clocks(self) -> dict[str, float]:
        return {"edge-2": 0.5}


class NodeWithPolicies(PlainNode):
    def __init__(self) -> None:
        super().__init__()
        self.policies = Wheel()


@pytest.fixture
def node() -> NodeWithPolicies:
    return NodeWithPolicies()


@pytest.fixture
def server(node: NodeWithPolicies, tmp_path: Path) -> Iterator[AdminServer]:
    settings = AdminSettings(socket=tmp_path / "state/admin.sock", http="127.0.0.1:0")
    with AdminServer(node, settings) as running:
        yield running


@pytest.fixture
def client(server: AdminServer, tmp_path: Path) -> AdminClient:
    return AdminClient(tmp_path / "state/admin.sock")


def test_what_is_asked_reaches_the_node(node: NodeWithPolicies, client: AdminClient) -> None:
    assert client.set_policy("shop", {"reach": "colo"}) == {"done": True}
    client.set_policy("shop", {"quota": "5%"}, node_only=True)
    client.unset_policy("shop", ["reach"])
    client.withdraw(vip="shop", new_epoch=True)
    client.explain(**{"from": "shop@ams1", "to": "shop@fra1"})
    client.explain(session="0123456789ab")
    assert node.policies.told == [
        ("set", "shop", {"reach": "colo"}, False),
        ("set", "shop", {"quota": "5%"}, True),
        ("unset", "shop", ["reach"], False),
        ("withdraw", {"vip": "shop", "group": "", "origin": "", "everything": False, "new_epoch": True}),
        ("way", "shop@ams1", "shop@fra1"),
        ("session", "0123456789ab"),
    ]
    assert client.get("/v1/clocks") == {"ahead_s": {"edge-2": 0.5}}
    assert client.clocks() == {"edge-2": 0.5}


def test_a_refusal_comes_back_as_the_error_it_was(node: NodeWithPolicies, client: AdminClient) -> None:
    node.policies.fault = PolicyError('there is no VIP "shpo"; did you mean "shop"?')
    with pytest.raises(PolicyError, match=r'^there is no VIP "shpo"; did you mean "shop"\?$'):
        client.set_policy("shpo", {"reach": "colo"})
    node.policies.fault = RuntimeError("secret")
    with pytest.raises(AdminError, match="answered 500") as caught:
        client.set_policy("shop", {"reach": "colo"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "target, body",
    [
        ("/v1/policy/set", []),
        ("/v1/policy/set", {"vip": "shop", "set": ["reach"]}),
        ("/v1/policy/set", {"vip": "shop", "set": {"reach": 5}}),
        ("/v1/policy/set", {"vip": 5, "set": {}}),
        ("/v1/policy/set", {"vip": "shop", "set": {}, "node_only": "yes"}),
        ("/v1/policy/set", {"vip": "shop", "sets": {}}),
        ("/v1/policy/set", {"vip": "shop", "set": {str(at): "" for at in range(17)}}),
        ("/v1/policy/set", {"vip": "x" * 3000, "set": {}}),
        ("/v1/policy/unset", {"vip": "shop", "keys": "reach"}),
        ("/v1/policy/unset", {"vip": "shop", "keys": [5]}),
        ("/v1/sessions/withdraw", {"all": 1}),
        ("/v1/sessions/withdraw", {"everything": True}),
    ],
)
def test_a_body_that_is_none_is_refused_and_the_node_not_asked(
    node: NodeWithPolicies, client: AdminClient, target: str, body: Any
) -> None:
    with pytest.raises(AdminError, match="answered 400"):
        client.post(target, body)
    assert node.policies.told == []


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"\xff"])
def test_bytes_that_are_no_json_are_refused(node: NodeWithPolicies, client: AdminClient, body: bytes) -> None:
    with pytest.raises(AdminError, match="answered 400: the body must be a JSON object"):
        client.ask("POST", "/v1/policy/set", body)
    assert node.policies.told == []


def test_a_body_that_is_too_long_is_refused(node: NodeWithPolicies, client: AdminClient) -> None:
    with pytest.raises(AdminError, match=r"answered 413|could not be asked"):
        client.ask("POST", "/v1/policy/set", b" " * 70_000)
    assert node.policies.told == []


@pytest.mark.parametrize("target", ["/v1/policy/set", "/v1/policy/unset", "/v1/sessions/withdraw"])
def test_over_http_every_change_is_405_and_changes_nothing(
    node: NodeWithPolicies, server: AdminServer, target: str
) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        status, headers, body = ask(server, method, target)
        assert (status, headers["Allow"]) == (405, "GET,HEAD")
        assert "GET, HEAD only" in json.loads(body)["error"]
    assert ask(server, "GET", target)[0] == 404
    assert node.policies.told == []


@pytest.mark.parametrize("target", ["/v1/explain?session=0123456789ab", "/v1/clocks"])
def test_questions_that_cost_something_are_not_answered_over_http(server: AdminServer, target: str) -> None:
    assert ask(server, "GET", target)[0] == 404


def test_the_socket_is_its_owners_alone(client: AdminClient) -> None:
    assert stat.S_IMODE(client.path.stat().st_mode) == 0o600


def test_the_process_behind_a_socket_can_be_told(client: AdminClient, tmp_path: Path) -> None:
    import os

    assert client.process_id() == os.getpid()
    assert AdminClient(tmp_path / "none.sock").process_id() is None
