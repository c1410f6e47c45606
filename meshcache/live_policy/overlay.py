"""Lays live values over a node's file: what holds for each VIP, and where each value of it comes from.

A pure function of the file, the mesh's live policies and this node's own: every node with equal ones gets equal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshcache.config import Settings, VipSettings
from meshcache.config.vip import TICKET_KEYS_OPEN
from meshcache.core.control.live_policies import GROUP, VIP, LivePolicies
from meshcache.core.values.topology import VipNote
from meshcache.core.wire.queries import HELD_BYTES_MAX
from meshcache.live_policy.values import (
    ALL,
    KEYS,
    STRICTEST,
    allowed,
    in_file,
    lifetime_s_of_keys,
    lifetime_s_of_protocol,
    parse,
    same,
    value_if_any,
    value_of,
    with_values,
    written,
)
from meshcache.runtime.contexts.attaching import InForce

EPOCH = "epoch"
"""The one key of a group; the number of its newest change is the group's policy epoch."""

Values = Mapping[str, Mapping[str, str]]
"""Text by VIP and key."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value comes from: "default", "file", "live" or "node"; and what was set, where that isn't what holds."""

    name: str
    wanted: str | None = None


@dataclass(frozen=True, slots=True)
class Overlay:
    """What holds on a node, and why."""

    in_force: InForce
    sources: Mapping[str, Mapping[str, Source]]
    faults: tuple[str, ...] = ()
    """Values that could not be used here at all, in words."""


def overlay(file: Settings, live: LivePolicies, node_only: Values) -> Overlay:
    """Lay the mesh's live values over the file, and this node's own over both."""
    vips: list[VipSettings] = []
    sources: dict[str, dict[str, Source]] = {}
    faults: list[str] = []
    for vip in file.vips:
        mesh_wide = {key: entry.value for key, entry in live.values(VIP, vip.name).items()}
        layers = {"live": mesh_wide, "node": dict(node_only.get(vip.name, {}))}
        changed, sources[vip.name] = _changed(file, vip, layers, faults)
        vips.append(changed)
    vips = _fitting_quotas(file, vips, sources, faults)
    settings = file.model_copy(update={"vips": tuple(vips)})
    notes = _notes(vips, live, sources, file.node.colo)
    return Overlay(InForce(settings, _epochs(vips, live), notes), sources, tuple(faults))


def hidden(before: Settings, file: Settings, holds: Overlay) -> list[tuple[str, str]]:
    """Return the VIPs and keys that a file changed to no effect, because something else was set live."""
    found = []
    for vip in file.vips:
        old, in_force = before.vip(vip.name), holds.in_force.settings.vip(vip.name)
        if old is None or in_force is None:
            continue
        was, now, shown = (
            file_values(before, old),
            file_values(file, vip),
            file_values(holds.in_force.settings, in_force),
        )
        live = [key for key in KEYS if holds.sources[vip.name][key].name in ("live", "node")]
        colo = file.node.colo
        changed = [key for key in live if not same(was[key], now[key], colo)]
        found += [(vip.name, key) for key in changed if not same(now[key], shown[key], colo)]
    return found


def file_values(file: Settings, vip: VipSettings) -> dict[str, Any]:
    """Return what the file says of each key that can be set live."""
    values = {key: value_of(vip, key) for key in KEYS}
    return values | {"quota": file.quota_of(vip.name)}


def _changed(
    file: Settings, vip: VipSettings, layers: Mapping[str, Mapping[str, str]], faults: list[str]
) -> tuple[VipSettings, dict[str, Source]]:
    own = file_values(file, vip)
    values: dict[str, Any] = {}
    sources = {key: Source("file" if in_file(vip, key) else "default") for key in KEYS}
    for layer, texts in layers.items():
        for key in KEYS:
            if key not in texts:
                continue
            wanted = _parsed(vip, key, texts[key], faults)
            if wanted is None:
                sources[key] = Source(sources[key].name, texts[key])
                continue
            holds = allowed(key, vip, own[key], wanted, file.node.colo)
            as_set = holds == value_if_any(key, texts[key])
            if vip.sharing.live != "none":
                values[key] = holds
            sources[key] = Source(layer if key in values else sources[key].name, None if as_set else texts[key])
    changed = with_values(vip, values)  # each was right where it was set, and none knew of the others
    if changed.sharing.lifetime_s > changed.sharing.lineage_s:
        changed = with_values(changed, {"lifetime_s": changed.sharing.lineage_s})
        sources["lifetime_s"] = Source(sources["lineage_s"].name, f"{values.get('lifetime_s', own['lifetime_s']):g}")
    if changed.push == "none" and changed.copies == ALL:
        changed = with_values(changed, {"push": ALL})
        sources["push"] = Source(sources["copies"].name, "none")
    return changed, sources


def _parsed(vip: VipSettings, key: str, text: str, faults: list[str]) -> Any:
    """Return the value of a text; of one that can't be read, which a newer version may have set, the strictest there
    is, and None for what says nothing of who may have sessions: the file's holds, then.
    """
    try:
        return parse(key, text)
    except ValueError as error:
        strictest = STRICTEST.get(key)
        taken = "the file's" if strictest is None or vip.sharing.live == "none" else written(strictest)
        faults.append(f"VIP {vip.name}: {key}, as it was set live, can't be used here: {error}; {taken} holds")
        return strictest


def _fitting_quotas(
    file: Settings, vips: list[VipSettings], sources: dict[str, dict[str, Source]], faults: list[str]
) -> list[VipSettings]:
    """Return the file's own quotas where the live ones don't fit together on this node."""
    given = [vip.sharing.quota for vip in vips if vip.sharing.quota is not None]
    total = round(sum(given), 6)
    if total < 1 or (total == 1 and len(given) == len(vips)):
        return vips
    faults.append("the quotas set live don't fit into this node's cache together with its others; the file's hold")
    for vip, changed in zip(file.vips, vips, strict=True):
        source = sources[vip.name]["quota"]
        if source.name in ("live", "node"):
            of_file = "file" if in_file(vip, "quota") else "default"
            sources[vip.name]["quota"] = Source(of_file, source.wanted or written(changed.sharing.quota))
    own = {vip.name: vip.sharing.quota for vip in file.vips}
    return [vip.model_copy(update={"sharing": vip.sharing.model_copy(update={"quota": own[vip.name]})}) for vip in vips]


def _epochs(vips: list[VipSettings], live: LivePolicies) -> dict[str, int]:
    groups = sorted({vip.group for vip in vips})
    found = {group: live.values(GROUP, group).get(EPOCH) for group in groups}
    return {group: entry.number for group, entry in found.items() if entry is not None}


def _notes(
    vips: list[VipSettings], live: LivePolicies, sources: Mapping[str, Mapping[str, Source]], colo: str
) -> dict[str, VipNote]:
    notes = {}
    for vip in vips:
        version = live.version(VIP, vip.name)
        set_live = {key: entry.value for key, entry in live.values(VIP, vip.name).items()}
        held = _held(vip, set_live, sources[vip.name], colo)
        notes[vip.name] = VipNote(b"", version.number, version.digest, held)
    return notes


def _held(vip: VipSettings, set_live: Mapping[str, str], sources: Mapping[str, Source], colo: str) -> tuple[str, ...]:
    """Return where something else holds here than what was set live, with the reason; `key_of` finds the key in it."""
    held = []
    for key in KEYS:
        if key not in set_live:
            continue
        holds, wanted = value_of(vip, key), value_if_any(key, set_live[key])
        if wanted is not None and same(holds, wanted, colo):
            continue
        value = "the file's" if holds is None else written(holds)
        why = "set on that node alone" if sources[key].name == "node" else why_not(key, vip, sources[key])
        held.append(f"{key}={value} ({why})".encode()[:HELD_BYTES_MAX].decode(errors="ignore"))
    return tuple(held)


def why_not(key: str, vip: VipSettings, source: Source) -> str:
    """Return the reason for which something else holds on a node than what was set; ``vip`` is as it holds."""
    if source.wanted is not None and value_if_any(key, source.wanted) is None:
        return "what was set can't be read there"
    if key == "quota" and source.name != "live":
        return "more does not fit beside its other quotas"
    if key == "lifetime_s" and vip.sharing.lifetime_s == vip.sharing.lineage_s:
        return "no longer than lineage_s there"
    if key == "lifetime_s" and vip.sharing.lifetime_s == lifetime_s_of_keys(vip):
        return f"no longer than {TICKET_KEYS_OPEN} times rotate_s there: so many ticket keys are kept"
    if key == "lifetime_s" and vip.sharing.lifetime_s == lifetime_s_of_protocol(vip):
        return "no longer than the TLS versions there allow"
    if key == "copies" and vip.fetch == "off":
        return 'its file has fetch = "off", and who holds no session has to fetch it'
    if key == "push" and vip.copies == ALL and vip.sharing.live != "none":
        return 'nobody would have to fetch anything: copies = "all" there'
    return f'its file allows no more: live = "{vip.sharing.live}"'


def key_of(held: str) -> str:
    """Return the key that a line of `VipNote.held` is about."""
    return held.partition("=")[0]
