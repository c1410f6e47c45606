"""Says where few copies bring nothing, or cost resumptions, for VIPs that ask for a number of them."""

from __future__ import annotations

from collections.abc import Iterator

from meshcache.config import Settings, VipSettings
from meshcache.core.policy.gates import ReachKind


def copies_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    return [
        f"vip[{index}].copies: {note}"
        for index, vip in enumerate(settings.vips)
        if vip.copies != "all"
        for note in vip_notes(vip)
    ]


def vip_notes(vip: VipSettings) -> Iterator[str]:
    """Yield the same of one VIP that asks for a number of copies."""
    if vip.resumption == "tickets":
        yield 'with resumption = "tickets" clients keep their sessions themselves, and there is nothing to hold'
    if vip.await_in_callback_ms:
        yield (
            "await_in_callback_ms is for servers whose handshakes can't pause, and those fetch nothing: clients resume "
            "there at the holders only"
        )
    if vip.sharing.reach.kind is ReachKind.SERVER:
        yield 'with reach = "server" no session leaves the server that made it, and no other one holds or fetches it'
    elif vip.push == "none" and vip.sharing.reach.kind is not ReachKind.COLO and vip.fetch != "reach":
        yield (
            f'with push = "none" other colos get no copies, and with fetch = "{vip.fetch}" they ask for none: clients '
            'resume in the colo of their session only, whatever the reach; set fetch = "reach" on the servers of all'
        )
    elif vip.copies == 1:
        yield "when the server that made a session dies, its colo has nothing of it"
