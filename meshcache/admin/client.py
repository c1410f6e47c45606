"""Asks a running node over its Unix socket, for the command line and for any program; keeps no connection open.

Imports little, so that a command answers at once.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import struct
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from meshcache.errors import AdminError, NodeAbsentError, PolicyError

TIMEOUT_S: Final = 5.0
"""A node answers from memory, and waits for the others for 2 s at most; one that takes longer is stuck."""

RELOAD_S: Final = 70.0
"""A reload with new keys may take seconds, and one that waits for another as long again."""

REFUSED: Final = 422
"""How a node answers what its policy, or its file, does not allow."""

ANSWER_BYTES_MAX: Final = 64 * 2**20
"""A thousand VIPs with every counter take about 2 MB."""


PROBE_S: Final = 1.0
"""How long a socket file's owner may take to accept before it counts as alive but busy."""


def answers(path: Path) -> bool:
    """Return whether some process accepts connections at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # no right to connect, or a full backlog: somebody is there
    return True


class AdminClient:
    """The admin interface of the node at `path`.

    Every method raises AdminError, which says where it looked and what it found.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def stats(self) -> dict[str, Any]:
        """Return the object of ``stats --json``."""
        return self.get("/v1/stats")

    def mesh(self) -> dict[str, Any]:
        """Return how clients resume on every node that answers in time."""
        return self.get("/v1/mesh")

    def peers(self) -> list[dict[str, Any]]:
        """Return every peer that this node knows."""
        return _list(self.get("/v1/peers"), "peers")

    def policy(self) -> list[dict[str, Any]]:
        """Return the policy of every VIP of this node."""
        return _list(self.get("/v1/policy"), "policy")

    def clocks(self) -> dict[str, float]:
        """Return by how many seconds other nodes' wall clocks are ahead of this node's."""
        ahead_s = self.get("/v1/clocks").get("ahead_s")
        if not isinstance(ahead_s, dict):
            raise AdminError(f"what answers at {self.path} told of no clocks")
        return ahead_s

    def tickets(self) -> list[dict[str, Any]]:
        """Return the rings of ticket keys that this node is in."""
        return _list(self.get("/v1/tickets"), "rings")

    def rotate_tickets(self, vip: str) -> dict[str, Any]:
        """Make the next ticket key of a VIP's ring. Raises PolicyError with what the node says against it."""
        return self.post("/v1/tickets/rotate", {"vip": vip})

    def export_tickets(self, vip: str, server: str, path: Path) -> tuple[dict[str, bytes], list[str]]:
        """Return a VIP's ticket keys as files for a kind of server at `path`, and their names. Raises PolicyError.

        Only root and the node's own user get them; keep them where nobody else can read.
        """
        given = self.post("/v1/tickets/export", {"vip": vip, "format": server, "path": str(path)})
        try:
            return {str(name): base64.b64decode(text) for name, text in given["files"].items()}, given["keys"]
        except (LookupError, TypeError, AttributeError, ValueError):
            raise AdminError(f"what answers at {self.path} gave no keys") from None

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """Return what happened after event number `since`, oldest first."""
        return _list(self.get("/v1/events", since=since), "events")

    def set_policy(self, vip: str, values: dict[str, str], *, node_only: bool = False) -> dict[str, Any]:
        """Set values of a VIP's policy. Raises PolicyError when they are refused; nothing changed anywhere then."""
        return self.post("/v1/policy/set", {"vip": vip, "set": values, "node_only": node_only})

    def unset_policy(self, vip: str, keys: list[str], *, node_only: bool = False) -> dict[str, Any]:
        """Take values of a VIP's policy back, all without `keys`. Raises PolicyError as `set_policy` does."""
        return self.post("/v1/policy/unset", {"vip": vip, "keys": keys, "node_only": node_only})

    def withdraw(self, **what: str | bool) -> dict[str, Any]:
        """Forget sessions mesh-wide: of a ``vip``, ``group``, ``origin``, or ``all``; and ``new_epoch``. Raises
        PolicyError."""
        return self.post("/v1/sessions/withdraw", dict(what))

    def reload(self) -> dict[str, Any]:
        """Let the server take its file again: ``{"ok", "changed", "restart", "hidden", "faults"}``. Raises PolicyError
        where the program around the node can't."""
        return self.ask("POST", "/v1/reload", b"{}", timeout_s=RELOAD_S)

    def take_over(self, path: Path) -> dict[str, Any]:
        """Let the server give its sockets and sessions to this process, which listens at `path`. Raises PolicyError
        where it won't."""
        return self.post("/v1/take-over", {"socket": str(path)})

    def explain(self, **query: str) -> dict[str, Any]:
        """Return why sessions go or don't: ``from`` and ``to``, or ``session``.
        Raises PolicyError for unknown names.
        """
        return self.get("/v1/explain", **query)

    def process_id(self) -> int | None:
        """Return the process that answers at this socket (SO_PEERCRED, unix(7)); None where the kernel doesn't say."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(TIMEOUT_S)
                probe.connect(str(self.path))
                return int(struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]) or None
        except (OSError, AttributeError):
            return None

    def post(self, endpoint: str, content: dict[str, Any]) -> dict[str, Any]:
        """Ask for a change; the JSON object that says what it did."""
        return self.ask("POST", endpoint, json.dumps(content).encode())

    def get(self, endpoint: str, **query: str | int) -> dict[str, Any]:
        """Return the JSON object at `endpoint`."""
        return self.ask("GET", f"{endpoint}?{urlencode(query)}" if query else endpoint)

    def ask(self, method: str, target: str, body: bytes | None = None, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Send one request as it is, and return the answer. Raises as `get` and `post` do, which are made of it."""
        connection = _UnixConnection(str(self.path), timeout_s)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return self._read(response.status, response.read(ANSWER_BYTES_MAX + 1))
        except (FileNotFoundError, NotADirectoryError):
            raise NodeAbsentError(f"no node at {self.path}: there is no such socket") from None
        except ConnectionRefusedError:
            what = "the socket is left from one that is gone" if self.path.is_socket() else "that is no socket"
            raise NodeAbsentError(f"no node at {self.path}: {what}") from None
        except PermissionError:
            raise AdminError(f"{self.path}: only the user that runs the node may ask it") from None
        except TimeoutError:
            raise AdminError(f"the node at {self.path} did not answer within {timeout_s:.0f} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"the node at {self.path} could not be asked: {_reason(error)}") from None
        finally:
            connection.close()

    def _read(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            content = json.loads(body) if len(body) <= ANSWER_BYTES_MAX else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise AdminError(f"what answers at {self.path} is no meshcache node")
        if status == REFUSED:
            raise PolicyError(str(content.get("error", ""))[:2000])
        if status != 200:
            raise AdminError(f"the node at {self.path} answered {status}: {str(content.get('error', ''))[:500]}")
        return content


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _reason(error: OSError | http.client.HTTPException) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _list(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = content.get(key)
    return found if isinstance(found, list) else []
