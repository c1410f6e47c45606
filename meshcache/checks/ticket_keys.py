"""Says where VIPs of one file share ticket keys and their times don't go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshcache.config import Settings, VipSettings
from meshcache.config.vip import TICKET_KEYS_OPEN
from meshcache.core.policy.gates import Reach


def ticket_key_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    rings: dict[tuple[str, Reach], list[VipSettings]] = {}
    for vip in settings.vips:
        if vip.resumption != "sessions":
            rings.setdefault((vip.group, vip.sharing.reach), []).append(vip)
    return [note for vips in rings.values() for note in _notes(settings, vips)]


def _notes(settings: Settings, vips: Sequence[VipSettings]) -> Iterator[str]:
    short = min(vips, key=lambda vip: vip.sharing.rotate_s)
    long = max(vips, key=lambda vip: vip.sharing.lifetime_s)
    if short.sharing.rotate_s * TICKET_KEYS_OPEN < long.sharing.lifetime_s:
        yield (
            f"vip[{settings.vips.index(short)}].sharing.rotate_s: VIPs {short.name} and {long.name} have the same "
            f"ticket keys, for which the shorter rotate_s ({short.sharing.rotate_s:g} s) and the longer lifetime_s "
            f"({long.sharing.lifetime_s:g} s) count: that is more keys than a node keeps, so tickets end early; have "
            f"rotate_s at least a {TICKET_KEYS_OPEN}th of lifetime_s in both together, or give them two groups"
        )
