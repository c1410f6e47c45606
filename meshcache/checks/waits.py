"""Says where handshakes may wait for longer than they may take, or never where the file says that they do."""

from __future__ import annotations

from collections.abc import Iterator

from meshcache.config import Settings, VipSettings
from meshcache.config.vip import PAUSE_S_MAX

_DISK_MS = 20.0
"""What a tier without a ``wait_ms`` of its own may take: docs/tiers.md."""


def wait_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    return [
        f"vip[{index}].{note}"
        for index, vip in enumerate(settings.vips)
        if vip.listen and vip.resumption != "tickets"
        for note in _notes(settings, vip)
    ]


def _notes(settings: Settings, vip: VipSettings) -> Iterator[str]:
    waits_ms = _tiers_ms(settings) + vip.await_ms + _fetch_ms(vip)
    timeout_ms = 1000 * (vip.handshake_timeout_s or settings.server.handshake_timeout_s)
    if 2 * min(waits_ms, 1000 * PAUSE_S_MAX) > timeout_ms:
        yield (
            f"handshake_timeout_s: a handshake could wait {min(waits_ms, 1000 * PAUSE_S_MAX):g} ms for its session "
            f"(await_ms, fetch_ms, tiers); it goes on in full after half of these {timeout_ms:g} ms"
        )
    if waits_ms > 1000 * PAUSE_S_MAX:
        yield (
            f"await_ms: with fetch and tiers a handshake could wait {waits_ms:g} ms for its session; it goes on after "
            f"{PAUSE_S_MAX:g} s, whatever is still to be asked"
        )
    if vip.await_in_callback_ms:
        yield (
            "await_in_callback_ms: only servers whose handshakes can't pause wait so (Python's ssl); on the addresses "
            "in listen await_ms holds"
        )


def _fetch_ms(vip: VipSettings) -> float:
    return {"off": 0.0, "colo": vip.fetch_ms, "reach": max(vip.fetch_ms, vip.fetch_far_ms)}[vip.fetch]


def _tiers_ms(settings: Settings) -> float:
    disk, store = settings.tier.disk, settings.tier.valkey
    own = len(settings.hooks.tiers) * _DISK_MS
    return own + (0.0 if disk is None else _DISK_MS) + (0.0 if store is None else store.wait_ms)
