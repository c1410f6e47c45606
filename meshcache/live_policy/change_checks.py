"""Checks what an operator wants to change, before anything does: every refusal says what would be right.

Nothing here changes anything. The checks are those of the node where the change is made; what other nodes' files allow,
they decide themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from meshcache.config import Settings, VipSettings
from meshcache.config.vip import TICKET_KEYS_OPEN
from meshcache.core.policy.gates import Reach
from meshcache.core.values.topology import NodeRecord
from meshcache.errors import PolicyError
from meshcache.live_policy.overlay import Overlay, file_values
from meshcache.live_policy.values import (
    ALL,
    FIXED,
    KEYS,
    allowed,
    lifetime_s_of_keys,
    lifetime_s_of_protocol,
    nearest,
    parse,
    with_values,
    written,
)

_OF_THE_FILE = frozenset(VipSettings.model_fields)


class Checks:
    """What is known here when a change is asked for: this node's file, what holds now, and the mesh's nodes."""

    def __init__(self, file: Settings, now: Overlay, records: Sequence[NodeRecord]) -> None:
        self._file = file
        self._now = now
        self._records = records

    def vip(self, name: str) -> VipSettings:
        """Return a VIP of this node, as its file has it. Raises PolicyError."""
        vip = self._file.vip(name)
        if vip is not None:
            return vip
        serving = sorted(f"{record.node} ({record.colo})" for record in self._records if record.terms_of(name))
        if serving:
            raise PolicyError(
                f'this node does not serve VIP "{name}"; set it on one that does: {", ".join(serving[:5])}'
            )
        raise PolicyError(f'there is no VIP "{name}"; {nearest(name, self._vips())}')

    def values(self, vip: VipSettings, texts: Mapping[str, str]) -> dict[str, str]:
        """Return the values to set for a VIP, as they are kept. Raises PolicyError."""
        if not texts:
            raise PolicyError(f"nothing to set; write KEY=VALUE with {', '.join(KEYS)}")
        self.keys(texts)
        values = {key: self._parsed(vip, key, text) for key, text in texts.items()}
        self._go_together(vip, values)
        return {key: written(value) for key, value in values.items()}

    def keys(self, keys: Sequence[str] | Mapping[str, str]) -> None:
        """Raises PolicyError for a key that can't be set live."""
        for key in keys:
            bare = key.removeprefix("sharing.")
            if bare in FIXED:
                raise PolicyError(f"{key} is not set live: {FIXED[bare]}. Change it in the file, and reload")
            if bare in _OF_THE_FILE and bare not in KEYS:
                raise PolicyError(
                    f"{key} is not set live: each node has it from its file. Change it in the file, and reload; what "
                    f"can be set live is {', '.join(KEYS)}"
                )
            if key not in KEYS:
                raise PolicyError(f'there is no key "{key}" to set; {nearest(bare, KEYS)}')

    def known(self, what: str, name: str, origins: set[str]) -> None:
        """Raises PolicyError when no node of the mesh is known to have such a VIP, group or origin."""
        names = {
            "vip": self._vips(),
            "group": {terms.group for record in self._records for terms in record.vips}
            | {vip.group for vip in self._file.vips},
            "origin": {record.node for record in self._records} | origins,
        }[what]
        if name not in names:
            title = {"vip": "VIP", "group": "share group", "origin": "node"}[what]
            raise PolicyError(f'there is no {title} "{name}" in this mesh; {nearest(name, names)}')

    def _vips(self) -> set[str]:
        return {terms.vip for record in self._records for terms in record.vips} | {vip.name for vip in self._file.vips}

    def _parsed(self, vip: VipSettings, key: str, text: str) -> Any:
        try:
            value = parse(key, text)
        except ValueError as error:
            raise PolicyError(f"{key}: {error}") from None
        if isinstance(value, Reach):
            self._colos_exist(value)
        if key == "lifetime_s":
            _lifetime_fits(vip, value)
        self._file_allows(vip, key, value)
        return value

    def _colos_exist(self, reach: Reach) -> None:
        known = {record.colo for record in self._records} | {self._file.node.colo}
        for colo in sorted(reach.colos - known):
            kinds = {"server", "colo", "everywhere"}
            raise PolicyError(f'reach: there is no colo "{colo}"; {nearest(colo, known | kinds)}')

    def _file_allows(self, vip: VipSettings, key: str, value: Any) -> None:
        own = file_values(self._file, vip)[key]
        holds = allowed(key, vip, own, value, self._file.node.colo)
        if holds == value:
            return
        if vip.sharing.live == "none":
            _refuse(vip, key, 'it has live = "none"')
        if key == "copies" and vip.fetch == "off":
            _refuse(vip, key, 'it has fetch = "off", and servers that hold no copy of a session have to fetch it')
        if key == "client_certificates":
            _refuse(vip, key, "only the file can let sessions with client certificates travel")
        _refuse(vip, key, f'it has live = "{vip.sharing.live}" and {key} = {written(own)}, and this would be wider')

    def _go_together(self, vip: VipSettings, values: Mapping[str, Any]) -> None:
        now = self._now.in_force.settings
        before = next(each for each in now.vips if each.name == vip.name)
        changed = with_values(before, values)
        after = changed.sharing
        if changed.push == "none" and changed.copies == ALL:
            raise PolicyError(
                "with push=none a session stays with its server and copies - 1 others: set how many copies in the same "
                "command (copies=2, say), or push=all"
            )
        if after.lineage_s < after.lifetime_s:
            raise PolicyError(
                f"lineage_s ({after.lineage_s:g}) must be at least lifetime_s ({after.lifetime_s:g}): set both"
            )
        if "quota" in values:
            quotas = [each.sharing.quota if each.name != vip.name else after.quota for each in now.vips]
            total = round(sum(quota or 0 for quota in quotas), 6)
            if total > 1 or (total == 1 and None in quotas):
                raise PolicyError("quota: all quotas together leave nothing of this node's cache for others; lower one")


def _lifetime_fits(vip: VipSettings, lifetime_s: float) -> None:
    if lifetime_s > lifetime_s_of_protocol(vip):
        raise PolicyError(
            f"lifetime_s: at most {lifetime_s_of_protocol(vip)} (24 hours) while VIP {vip.name} speaks TLS 1.2"
        )
    if lifetime_s > lifetime_s_of_keys(vip):
        raise PolicyError(
            f"lifetime_s: at most {lifetime_s_of_keys(vip):g} while rotate_s of VIP {vip.name} is "
            f"{vip.sharing.rotate_s:g}, {TICKET_KEYS_OPEN} times that: each node keeps that many ticket keys. Raise "
            "rotate_s in the files first, and reload"
        )


def _refuse(vip: VipSettings, key: str, reason: str) -> NoReturn:
    raise PolicyError(f"{key}: the file of this node does not allow it for VIP {vip.name}: {reason}")
