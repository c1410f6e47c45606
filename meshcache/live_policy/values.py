"""What can be set live, in the words of operators and in values; and what a configuration file lets of it be.

Live values are text wherever they travel or are kept. Decides about one value at a time, and knows no node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from meshcache.config import VipSettings
from meshcache.config.overrides import parse_value
from meshcache.config.values import parse_copies, parse_name, parse_share, shown
from meshcache.config.vip import TICKET_KEYS_OPEN
from meshcache.core.policy.gates import REACH_COLO, REACH_EVERYWHERE, REACH_SERVER, Reach, ReachKind
from meshcache.core.values.session import LIFETIME_S_MAX_TLS12, LIFETIME_S_MAX_TLS13, LINEAGE_S_MAX
from meshcache.core.wire.messages import LIVE_VALUE_BYTES_MAX

KEYS: Final = ("reach", "lifetime_s", "lineage_s", "quota", "client_certificates", "copies", "push")

OF_VIP: Final = frozenset({"copies", "push"})
"""Those that stand in ``[[vip]]`` itself, and not in ``[vip.sharing]``."""

ALL: Final = "all"
"""Of copies: with every server that may have the session; of push: to all colos."""

FIXED: Final = {
    "group": "who shares with whom is for the files of both to say, or any member could join VIPs to one another",
    "bind": "it is part of what sessions are bound to",
    "live": "it says what may be set live, so it can't be set live",
    "names": "the certificate has to cover them",
    "min_tls": "it is part of what sessions are bound to, and of the context itself",
    "client_auth": "it is part of what sessions are bound to, and of the context itself",
    "ciphers": "it is the context's",
    "certificate": "it is the context's",
    "alpn": "it is the context's",
}
"""Keys of a VIP that an operator might try, and why they are only in the file."""

STRICTEST: Final = {"reach": REACH_SERVER, "client_certificates": "never"}
"""Of what says who may have sessions: what holds where it can't be read, since nobody knows how strict it was meant."""

_REACHES = {"server": REACH_SERVER, "colo": REACH_COLO, "everywhere": REACH_EVERYWHERE}


def nearest(wanted: str, known: Iterable[str]) -> str:
    """Return the end of a refusal: what may have been meant, or what there is."""
    names = sorted(set(known))
    close = get_close_matches(wanted, names, n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"there is {', '.join(names[:20])}" if names else "there is none"


def value_of(vip: VipSettings, key: str) -> Any:
    """Return what a VIP has for a key."""
    return getattr(vip if key in OF_VIP else vip.sharing, key)


def in_file(vip: VipSettings, key: str) -> bool:
    """Return whether a VIP as its file has it says something of a key."""
    return key in (vip if key in OF_VIP else vip.sharing).model_fields_set


def with_values(vip: VipSettings, values: Mapping[str, Any]) -> VipSettings:
    """Return the VIP with other values for these keys, unchecked."""
    sharing = {key: value for key, value in values.items() if key not in OF_VIP}
    own = {key: value for key, value in values.items() if key in OF_VIP}
    return vip.model_copy(update={**own, "sharing": vip.sharing.model_copy(update=sharing)})


def parse(key: str, text: str) -> Any:
    """Return the value that `text` is for a key. Raises ValueError, with what would be right."""
    return _PARSERS[key](text)


def value_if_any(key: str, text: str) -> Any:
    """Return the value that `text` is for a key, or None, which is the value of no text."""
    try:
        return parse(key, text)
    except (LookupError, ValueError):
        return None


def written(value: Any) -> str:
    """Return a value as text; `parse` is its inverse, that of version 0.1 too, which reads all as TOML first."""
    if isinstance(value, Reach):
        text = str(value)
        is_other = text in _REACHES or parse_value(text) != text
        return f'["{text}"]' if value.kind is ReachKind.COLOS and is_other else text
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def allowed(key: str, vip: VipSettings, file_value: Any, live: Any, colo: str) -> Any:
    """Return what holds when `live` was set and the file has `file_value`: the file has the last word.

    With ``live = "none"`` the file's value, with "tighten" the stricter of both. With "any" the live value, but no
    lifetime beyond the longest that the VIP can have, and sessions with client certificates travel only where the file
    lets them. Where nothing may be fetched every server needs its copy. Where all of `live` holds, it
    is returned as it was set.
    """
    holds = _allowed(key, vip, file_value, live, colo)
    return live if same(holds, live, colo) else holds


def same(one: Any, other: Any, colo: str) -> bool:
    """Return whether two values are one to a node in `colo`: a list of colos that leaves it out, and one that doesn't,
    are, and a list of it alone and ``colo``.
    """
    if isinstance(one, Reach) and isinstance(other, Reach):
        return _border(one, colo) == _border(other, colo)
    return bool(one == other)


def _border(reach: Reach, colo: str) -> frozenset[str] | ReachKind:
    """Return what `Reach.allows` and `core.policy.ring_id` make of a reach: the colos, or that it is none of colos."""
    return reach.colos | {colo} if reach.kind in (ReachKind.COLO, ReachKind.COLOS) else reach.kind


def _allowed(key: str, vip: VipSettings, file_value: Any, live: Any, colo: str) -> Any:
    mode = vip.sharing.live
    if key == "copies" and vip.fetch == "off":
        return file_value
    if mode == "none":
        return file_value
    if mode == "tighten" or key == "client_certificates":
        live = _STRICTER[key](file_value, live, colo)
    return min(live, lifetime_s_max(vip)) if key == "lifetime_s" else live


def stricter(key: str, one: str, other: str, colo: str) -> str:
    """Return the stricter of two texts for a key, for a node in `colo`; one that is empty, or no value, yields."""
    if one == other:
        return one
    first, second = (value_if_any(key, text) for text in (one, other))
    if first is None and second is None:
        return one or other
    if first is None or second is None:
        return other if first is None else one
    return written(_STRICTER[key](first, second, colo))


def lifetime_s_max(vip: VipSettings) -> float:
    """Return the longest lifetime that the VIP can have; its file is held to the same."""
    return min(lifetime_s_of_protocol(vip), lifetime_s_of_keys(vip))


def lifetime_s_of_protocol(vip: VipSettings) -> int:
    """Return the longest lifetime that the VIP's protocol versions allow."""
    return LIFETIME_S_MAX_TLS12 if vip.min_tls == "1.2" else LIFETIME_S_MAX_TLS13


def lifetime_s_of_keys(vip: VipSettings) -> float:
    """Return the longest lifetime for which a node has room for all ticket keys that open meanwhile."""
    return math.inf if vip.resumption == "sessions" else vip.sharing.rotate_s * TICKET_KEYS_OPEN


def both(one: Reach, other: Reach, colo: str) -> Reach:
    """Return the reach that allows a node in `colo` what both of them do."""
    if REACH_SERVER in (one, other):
        return REACH_SERVER
    if one.kind is ReachKind.EVERYWHERE:
        return other
    if other.kind is ReachKind.EVERYWHERE:
        return one
    common = (one.colos & other.colos) - {colo}
    return Reach(ReachKind.COLOS, common | {colo}) if common else REACH_COLO


def _reach(text: str) -> Reach:
    """Read words, or TOML where that begins as a list or a string: of a colo named ``1`` it would make a number."""
    text = text.strip()
    value = parse_value(text) if text.startswith(("[", '"', "'")) else text
    if isinstance(value, str):
        value = value.strip()
        if value in _REACHES:
            return _REACHES[value]
        value = [colo.strip() for colo in value.split(",")]
    return Reach.parse([parse_name(colo) for colo in value])


def _seconds(longest: int) -> Callable[[str], float]:
    def parse_seconds(text: str) -> float:
        value = parse_value(text)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"a time is a number of seconds such as 3600, not {shown(value)}")
        if not 1 <= value <= longest:
            raise ValueError(f"it is 1 to {longest} seconds, not {shown(value)}")
        return float(value)

    return parse_seconds


def _client_certificates(text: str) -> str:
    value = parse_value(text)
    if value not in ("never", "revalidate"):
        raise ValueError(f'it is "never" or "revalidate", not {shown(value)}')
    return str(value)


def _copies(text: str) -> int | str:
    return parse_copies(parse_value(text.strip()))


def _push(text: str) -> str:
    value = parse_value(text.strip())
    if value not in (ALL, "none"):
        raise ValueError(f'it is "all" or "none", not {shown(value)}')
    return str(value)


def _bounded(parser: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse_bounded(text: str) -> Any:
        if len(text.encode()) > LIVE_VALUE_BYTES_MAX or not text.isprintable():
            raise ValueError(f"a value is at most {LIVE_VALUE_BYTES_MAX} printable bytes")
        return parser(text)

    return parse_bounded


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "reach": _bounded(_reach),
    "lifetime_s": _bounded(_seconds(LIFETIME_S_MAX_TLS13)),
    "lineage_s": _bounded(_seconds(LINEAGE_S_MAX)),
    "quota": _bounded(lambda text: parse_share(parse_value(text))),
    "client_certificates": _bounded(_client_certificates),
    "copies": _bounded(_copies),
    "push": _bounded(_push),
}

_STRICTER: Final[dict[str, Callable[[Any, Any, str], Any]]] = {
    "reach": both,
    "lifetime_s": lambda one, other, _colo: min(one, other),
    "lineage_s": lambda one, other, _colo: min(one, other),
    "quota": lambda one, other, _colo: min(one, other),
    "client_certificates": lambda one, other, _colo: "never" if "never" in (one, other) else "revalidate",
    "copies": lambda one, other, _colo: min((one, other), key=lambda copies: math.inf if copies == ALL else copies),
    "push": lambda one, other, _colo: "none" if "none" in (one, other) else ALL,
}
