"""Answers "why does it not resume there?" for a way between two VIPs and for one session, as this node knows the mesh.

Reads only. Names are checked first, so that a typing error isn't answered with "no way".
"""

from __future__ import annotations

import re
from typing import Any, Final

from meshcache.core.control.explain import VipPlace, explain_session, explain_way
from meshcache.core.policy.digest_parts import asks_clients
from meshcache.core.values.session import session_hash
from meshcache.core.values.topology import LocalVip
from meshcache.errors import PolicyError
from meshcache.live_policy.values import nearest
from meshcache.runtime.pump.pump import Pump

_HASH: Final = re.compile(r"[0-9a-f]{12}")


def way(pump: Pump, source: str, target: str, single_use: frozenset[str] = frozenset()) -> dict[str, Any]:
    """May sessions of `source` be used at `target`, both ``VIP@COLO``? See `explain_way`. Raises PolicyError.

    `single_use` are the VIPs of this node whose sessions are good for one handshake.
    """
    with pump.lock:
        known = pump.core.records()
        own = pump.core.local_vips()
    records = [record for record, _ in known]
    places = {f"{terms.vip}@{record.colo}" for record in records for terms in record.vips}
    found = explain_way(records, _place(source, places), _place(target, places), records[0].node, pump.core.own_policy)
    return found | {
        "lost": sorted(record.node for record, state in known if state == "lost"),
        "notes": _notes(own, source) + _used_up(single_use, target),
    }


def session(pump: Pump, wanted: str) -> dict[str, Any]:
    """Return where the session with this hash may resume, if it is in this node's cache. Raises PolicyError.

    Hashes every id that is here, which takes a tenth of a second for 100,000: on a thread that may.
    """
    if not _HASH.fullmatch(wanted):
        raise PolicyError("there is no such file, and a session's hash is 12 hexadecimal digits")
    with pump.lock:
        vips = pump.core.local_vips()
    for vip in vips:
        with pump.lock:
            ids = pump.core.session_ids(vip.terms.vip)
        session_id = next((each for each in ids if session_hash(each) == wanted), None)
        if session_id is not None:
            with pump.lock:
                found = pump.core.session_origin(vip.terms.vip, session_id)
                records = [record for record, _ in pump.core.records()]
                made_here = found is not None and pump.core.made_here(found[0])
            if found is not None:
                told = explain_session(
                    *found, records[0], records, vips, pump.clock(), pump.core.own_policy, made_here=made_here
                )
                return {"session": wanted, "found": True, **told}
    return {
        "session": wanted,
        "found": False,
        "why": "it is not in this node's cache, and no other node was asked: it never came here, or has expired, "
        "was evicted, recalled, withdrawn or used up (single_use); ask again on the server that made it, and on those "
        "that should have it",
    }


def _place(text: str, known: set[str]) -> VipPlace:
    vip, at, colo = text.rpartition("@")
    if not (vip and at and colo):
        raise PolicyError(f'a place is VIP@COLO, such as shop@ams1, not "{text[:100]}"; {nearest(text, known)}')
    if text not in known:
        raise PolicyError(f'nobody serves "{text[:150]}"; {nearest(text, known)}')
    return VipPlace(vip, colo)


def _notes(own: list[LocalVip], source: str) -> list[str]:
    mine = next((vip for vip in own if source == f"{vip.terms.vip}@{vip.terms.colo}"), None)
    if mine is None or mine.export_client_certificates or not asks_clients(mine.note.parts):
        return []
    return ["sessions for which a client certificate was shown stay on their server: client_certificates is never"]


def _used_up(single_use: frozenset[str], target: str) -> list[str]:
    if target.rpartition("@")[0] not in single_use:
        return []
    return ["each for one handshake in TLS 1.3, as far as servers can be told: single_use is best_effort"]
