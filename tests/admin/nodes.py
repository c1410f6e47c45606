"""A node for the admin interface to read: plain values that a test can change, and faults it can ask for."""

from __future__ import annotations

import http.client
from typing import Any

from meshcache.admin.server import AdminServer


class PlainNode:
    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"node": {"name": "edge-1"}}
        self.log: list[dict[str, Any]] = [{"seq": 1, "text": "first"}, {"seq": 2, "text": "second"}]
        self.fault: Exception | None = None

    def stats(self) -> dict[str, Any]:
        if self.fault is not None:
            raise self.fault
        return self.answers

    def peers(self) -> list[dict[str, Any]]:
        return [{"name": "edge-2", "colo": "ams1"}]

    def policy(self) -> list[dict[str, Any]]:
        return [{"vip": "shop", "reach": "colo"}]

    def events(self, since: int) -> list[dict[str, Any]]:
        return [event for event in self.log if event["seq"] > since]


def ask(server: AdminServer, method: str, target: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    assert server.http_address is not None
    connection = http.client.HTTPConnection(server.http_address, timeout=30)
    connection.request(method, target, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), body
