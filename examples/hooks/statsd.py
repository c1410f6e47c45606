"""An observer: handshakes and warnings go to a StatsD server, as datagrams that nobody waits for.

    [hooks]
    observers = ["statsd:StatsD"]
    options = { "statsd:StatsD" = { host = "127.0.0.1", port = 8125 } }

The module must be where Python finds it: installed, or in a folder of PYTHONPATH.
"""

from __future__ import annotations

import socket
from typing import Any

from meshcache.hooks import Observer


class StatsD(Observer):
    """Counts ``meshcache.VIP.handshakes.RESULT`` and ``meshcache.events.KIND``."""

    name = "statsd"

    def __init__(self, host: str, port: int = 8125, every_s: float = 10.0) -> None:
        self.counters_every_s = every_s
        self._to = (host, port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._told: dict[str, int] = {}

    def event(self, event: dict[str, Any]) -> None:
        if event["level"] == "warning":
            self._send(f"meshcache.events.{event['kind']}", 1)

    def counters(self, stats: dict[str, Any]) -> None:
        for vip, of in stats["vips"].items():
            for result, count in of["handshakes"].items():
                name = f"meshcache.{vip}.handshakes.{result}"
                self._send(name, count - self._told.get(name, 0))
                self._told[name] = count

    def close(self) -> None:
        self._socket.close()

    def _send(self, name: str, count: int) -> None:
        if count:
            self._socket.sendto(f"{name}:{count}|c".encode(), self._to)
