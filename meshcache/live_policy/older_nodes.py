"""Finds the nodes that know of a live value and can't have it: those of an earlier version, which the value is new to.

Such a node says that it has the newest policy, and means that it keeps and passes it on. What it says of its terms
shows what holds there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshcache.core.control.live_policies import LiveVersion
from meshcache.core.policy.gates import Terms
from meshcache.core.values.topology import NodeRecord
from meshcache.live_policy.values import ALL, parse

VERSION_SHOWN: Final = "version {} takes no {} live"


def older_nodes(
    vip: str, version: LiveVersion, wanted: Mapping[str, str], records: Iterable[NodeRecord]
) -> list[dict[str, Any]]:
    """Return nodes that say they are at this version of a VIP's policy, and with which other copies, as `ask_policy`
    names those where something else holds. A node that wasn't heard since the change isn't judged.
    """
    expected = {key: parse(key, wanted[key]) for key in _HOLDS if wanted.get(key)}
    found = []
    for record in records:
        terms, note = record.terms_of(vip), record.note_of(vip)
        if terms is None or (note.version, note.digest) != (version.number, version.digest):
            continue
        holds = {key: _HOLDS[key](terms) for key in expected}
        lines = [
            f"{key}={holds[key]} ({VERSION_SHOWN.format(record.version or '0.1', key)})"
            for key, value in expected.items()
            if holds[key] != value
        ]
        if lines:
            found.append({"name": record.node, "holds": lines})
    return sorted(found, key=lambda each: str(each["name"]))


def _copies(terms: Terms) -> int | str:
    return terms.copies or ALL


def _push(terms: Terms) -> str:
    return ALL if terms.push else "none"


_HOLDS: Final = {"copies": _copies, "push": _push}
"""What a node's terms tell of what was set live."""
