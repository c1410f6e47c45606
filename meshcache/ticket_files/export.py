"""One export over time: what its server has, what it should have, and when to try again. Sans-I/O but for `Hands`.

A new key is given to the server at once, to open with, and encrypts some seconds after it does in the mesh: by then
each of the others' servers has read it. A key that is withdrawn goes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from meshcache.errors import MeshcacheError
from meshcache.ticket_files.layouts import Rendered, ServerKey, Wanted, render

RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 60.0
"""Between two tries, doubling: a server that is restarted is back within seconds."""

SETTLING_S_MAX: Final = 5.0
"""How long a ring that has keys may be without one that encrypts before they are written: a start takes a moment."""

_NEVER: Final = float("inf")


class Hands(Protocol):
    """What an export does in the world. Each raises MeshcacheError, in words without secrets."""

    def write(self, rendered: Rendered) -> None: ...
    def tell(self, rendered: Rendered) -> None: ...
    def tidy(self, rendered: Rendered) -> None: ...


@dataclass(frozen=True, slots=True)
class Keys:
    """A VIP's keys in the mesh now, as the kind of server has them, the highest first. ``refused``: why they may not
    leave the process."""

    encrypts: ServerKey | None = None
    opening: tuple[ServerKey, ...] = ()
    refused: str = ""


@dataclass(slots=True)
class ExportResult:
    """What a step did, for whoever tells of it."""

    written: Rendered | None = None
    fault: str = ""
    mended: bool = False


@dataclass(slots=True)
class Export:
    """One export. Call `step` when the keys may have changed, and by the time that it returns."""

    vip: str
    server: str
    path: str
    settle_s: float
    hands: Hands
    labels: list[str] = field(default_factory=list)
    left_out: int = 0
    done: int = 0
    failed: int = 0
    fault: str = ""
    refused: str = ""
    applied: tuple[bytes, ...] | None = None
    """The names of the keys that the server has, the encrypting one first; None before the first time."""

    applied_at: float = float("-inf")
    stale_since: float = _NEVER
    """Since when the server hasn't had what it should have."""

    _tried: tuple[bytes, ...] | None = None
    """What was tried in vain last, so that it isn't known what the server has."""

    _retry_at: float = float("-inf")
    _retry_s: float = RETRY_S_MIN
    _mesh_encrypts: bytes = b""
    _encrypts_since: float = float("-inf")
    _unsettled_since: float = _NEVER

    def step(self, keys: Keys, now: float) -> tuple[ExportResult, float]:
        """Give the server what it should have, if it hasn't that. Return what was done, and when to call again."""
        self.refused = keys.refused
        if self.applied is None and self._tried is None and not keys.opening and not keys.refused:
            return ExportResult(), _NEVER
        wanted, due_at = self._wanted(keys, now)
        if wanted is None:
            return ExportResult(), due_at
        if wanted.stamp == self.applied and self._tried is None:
            return ExportResult(), due_at
        self.stale_since = min(self.stale_since, now)
        if wanted.stamp == self._tried and now < self._retry_at:
            return ExportResult(), min(self._retry_at, due_at)
        return self._try(wanted, now, due_at)

    @property
    def begun(self) -> bool:
        """Whether the server has got keys, or it is known why not."""
        return self.applied is not None or bool(self.fault or self.refused)

    def shown(self, now: float) -> dict[str, Any]:
        """Return what operators see: keys by name, never by value."""
        state = "refused" if self.refused else "failing" if self.fault else "waiting" if self.applied is None else "ok"
        return {
            "vip": self.vip,
            "format": self.server,
            "path": self.path,
            "state": state,
            "keys": list(self.labels),
            "left_out": self.left_out,
            "written": self.done,
            "failed": self.failed,
            "written_s_ago": None if self.applied is None else round(now - self.applied_at, 1),
            "stale_s": 0.0 if self.stale_since == _NEVER else round(now - self.stale_since, 1),
            "why": self.refused or self.fault,
        }

    def _wanted(self, keys: Keys, now: float) -> tuple[Wanted | None, float]:
        """Return what the server should have now, and when that changes by time alone; None: wait and see."""
        if keys.refused:
            return Wanted(None, ()), _NEVER
        now_encrypts = b"" if keys.encrypts is None else keys.encrypts.key
        if now_encrypts != self._mesh_encrypts:
            self._mesh_encrypts, self._encrypts_since = now_encrypts, now
        if keys.encrypts is None:
            return self._without_one_that_encrypts(keys, now)
        self._unsettled_since = _NEVER
        former = b"" if self.applied is None else self.applied[0]
        still = next((key for key in keys.opening if key.key == former), keys.encrypts)
        use_at = self._encrypts_since + self.settle_s
        if still.key == keys.encrypts.key or now >= use_at:
            return Wanted(keys.encrypts, keys.opening), _NEVER
        return Wanted(still, keys.opening), use_at

    def _without_one_that_encrypts(self, keys: Keys, now: float) -> tuple[Wanted | None, float]:
        """Return what the server should have while the ring chooses a key; what was withdrawn goes at once."""
        self._unsettled_since = min(self._unsettled_since, now)
        until = self._unsettled_since + SETTLING_S_MAX
        here = {b"", *(key.key for key in keys.opening)}
        if keys.opening and here.issuperset(self.applied or ()) and now < until:
            return None, until
        return Wanted(None, keys.opening), _NEVER

    def _try(self, wanted: Wanted, now: float, due_at: float) -> tuple[ExportResult, float]:
        if wanted.stamp != self._tried:
            self._retry_s = RETRY_S_MIN
        self._tried = wanted.stamp
        rendered = render(self.server, wanted, self.path)
        try:
            self.hands.write(rendered)
            self.hands.tell(rendered)
        except MeshcacheError as error:
            self.failed += 1
            self.fault = str(error)
            self._retry_at, self._retry_s = now + self._retry_s, min(2 * self._retry_s, RETRY_S_MAX)
            return ExportResult(fault=self.fault), min(self._retry_at, due_at)
        self.hands.tidy(rendered)
        mended, self.fault = bool(self.fault), ""
        self.applied, self.applied_at, self.stale_since, self._tried = wanted.stamp, now, _NEVER, None
        self.labels, self.left_out = rendered.labels, rendered.left_out
        self.done += 1
        return ExportResult(rendered, mended=mended), due_at
