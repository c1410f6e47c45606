"""The object of ``meshcache policy show --json``: what holds for each VIP, where each value comes from, who has it.

Reads and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshcache.config import VipSettings
from meshcache.core.control.live_policies import VIP, LivePolicies
from meshcache.core.values.topology import NodeRecord
from meshcache.live_policy.overlay import Overlay, Source, why_not
from meshcache.live_policy.values import ALL
from meshcache.runtime.contexts.attaching import quota_bytes


def shown_vip(
    vip: VipSettings, holds: Overlay, live: LivePolicies, records: Sequence[tuple[NodeRecord, str]]
) -> dict[str, Any]:
    """One VIP. ``vip`` is as it holds; ``records`` are all nodes known, each with its state."""
    sharing, sources = vip.sharing, holds.sources[vip.name]
    return {
        "vip": vip.name,
        "group": vip.group,
        "reach": sharing.reach.to_plain(),
        "copies": vip.copies,
        "push": vip.push,
        "fetch": vip.fetch,
        "client_certificates": sharing.client_certificates,
        "bind": sharing.bind,
        "resumption": vip.resumption,
        "single_use": vip.single_use,
        "rotate_s": sharing.rotate_s,
        "lifetime_s": sharing.lifetime_s,
        "lineage_s": sharing.lineage_s,
        "quota_bytes": quota_bytes(holds.in_force.settings, vip.name),
        "epoch": holds.in_force.epochs.get(vip.group, 0),
        "live": sharing.live,
        "sources": {key: _source(key, vip, source) for key, source in sources.items()},
        "version": live.version(VIP, vip.name).number,
        "author": live.author(VIP, vip.name),
        "nodes": nodes_of(vip.name, live, records),
        "other_copies": other_copies(vip, records),
    }


def nodes_of(vip: str, live: LivePolicies, records: Sequence[tuple[NodeRecord, str]]) -> dict[str, Any]:
    """Return which nodes have the newest version of a VIP's live policy in force, and how far the others are."""
    version = live.version(VIP, vip)
    notes = [(record, state, record.note_of(vip)) for record, state in records if record.terms_of(vip) is not None]
    have = [record.node for record, _, note in notes if (note.version, note.digest) == (version.number, version.digest)]
    others = [
        {"name": record.node, "colo": record.colo, "version": note.version, "state": state}
        for record, state, note in notes
        if record.node not in have
    ]
    return {"serving": len(notes), "have": len(have), "others": sorted(others, key=lambda other: str(other["name"]))}


def other_copies(vip: VipSettings, records: Sequence[tuple[NodeRecord, str]]) -> list[dict[str, Any]]:
    """Return the nodes that say another number of copies than this one, or another ``push``: a file of their own, or a
    version that has none of it.
    """
    told = [(record, record.terms_of(vip.name)) for record, state in records if state != "lost"]
    return [
        {"name": record.node, "copies": terms.copies or ALL, "push": ALL if terms.push else "none"}
        for record, terms in sorted(told, key=lambda each: each[0].node)
        if terms is not None and (terms.copies, terms.push) != (vip.copies_told, vip.push == ALL)
    ]


def _source(key: str, vip: VipSettings, source: Source) -> dict[str, str]:
    return {"from": source.name} | (
        {} if source.wanted is None else {"wanted": source.wanted, "why": why_not(key, vip, source)}
    )
