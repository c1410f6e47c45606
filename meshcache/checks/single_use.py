"""Says what single use costs, and where it can't hold, for VIPs that ask for it."""

from __future__ import annotations

from collections.abc import Iterator

from meshcache.config import Settings, VipSettings


def single_use_notes(settings: Settings) -> list[str]:
    """Return what is no fault and yet worth knowing."""
    return [
        f"vip[{index}].single_use: {note}"
        for index, vip in enumerate(settings.vips)
        if vip.single_use != "off"
        for note in _notes(settings, vip)
    ]


def _notes(settings: Settings, vip: VipSettings) -> Iterator[str]:
    yield (
        "each resumed handshake costs a message to every server that may hold the session, and clients that offer one "
        "twice (curl, Python, OpenSSL's s_client) full handshakes; until a server was told it takes the session as well"
    )
    if vip.min_tls == "1.2":
        yield 'sessions of TLS 1.2 stay good for as long as they live; min_tls = "1.3" leaves none'
    if vip.resumption == "both":
        yield 'tickets of TLS 1.2 can\'t be used up; resumption = "sessions" gives none'
    if settings.tier.disk is not None or settings.tier.valkey is not None:
        yield "what is used up while a server is down is good there once more if its tier still has it"
