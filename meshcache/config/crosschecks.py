"""Finds values that are right by themselves and wrong together; looks at nothing outside the configuration.

Every check takes the VIPs that could be read, with their places in the file, so that one broken VIP doesn't hide what
is wrong between the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import TypeAlias

from meshcache.config.values import shown, split_address
from meshcache.config.vip import VipSettings

RESPONDER_SPEAKS = frozenset({"http/1.0", "http/1.1"})
"""ALPN names of what the built-in responder can answer (RFC 7301 section 6)."""

PlacedVip: TypeAlias = tuple[int, VipSettings]


def cross_faults(
    vips: Sequence[PlacedVip], mesh_listen: str | None, admin_http: str | None, policies: Sequence[str] = ()
) -> list[str]:
    """Return every fault between these parts, each as ``place: what is wrong and what would be right``.

    The two addresses are ``mesh.listen`` and ``admin.http``; None where there is none, or it can't be read. `policies`
    are those of ``hooks``.
    """
    return [
        *_duplicate_names(vips),
        *_shared_addresses(vips, mesh_listen, admin_http),
        *_sharers_that_disagree(vips),
        *_half_a_listener(vips),
        *_backends_that_are_ours(vips),
        *_backends_that_cannot_be_chosen(vips),
        *_protocols_nobody_speaks(vips),
        *_quotas_over_all(vips),
        *_groups_that_disagree(vips),
        *(ticket_faults(vips) if policies else ()),
    ]


def ticket_faults(vips: Iterable[PlacedVip]) -> Iterator[str]:
    """Yield what can't be on a node with a sharing policy of its own: a client's ticket resumes wherever its key is,
    unasked.
    """
    for index, vip in vips:
        if vip.resumption != "sessions":
            yield (
                f"vip[{index}].resumption: is {vip.resumption}, and a node with a sharing policy of its own can't ask "
                "it about tickets: set it to sessions"
            )


def _duplicate_names(vips: Sequence[PlacedVip]) -> Iterator[str]:
    first: dict[str, int] = {}
    for index, vip in vips:
        if vip.name in first:
            yield (
                f'vip[{index}].name: vip[{first[vip.name]}] is named "{vip.name}" too; give each VIP a name of its own '
                "(sharing between VIPs is what sharing.group is for)"
            )
        first.setdefault(vip.name, index)


def _shared_addresses(vips: Sequence[PlacedVip], mesh_listen: str | None, admin_http: str | None) -> Iterator[str]:
    """Two sockets on one address; a wildcard address has every address of its family. VIPs may share one."""
    places = [(f"vip[{index}].listen[{at}]", address) for index, vip in vips for at, address in enumerate(vip.listen)]
    others = (("mesh.listen", mesh_listen), ("admin.http", admin_http))
    places += [(place, address) for place, address in others if address is not None]
    by_port: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for place, address in places:
        port = split_address(address)[1]
        for earlier, other in by_port[port]:
            if port and _collide(address, other) and not (address == other and _two_vips(place, earlier)):
                yield f"{place}: {address} is taken by {earlier} ({other}); give it an address or port of its own"
                break
        by_port[port].append((place, address))


def _collide(one: str, other: str) -> bool:
    hosts = [ip_address(split_address(address)[0]) for address in (one, other)]
    same_family = hosts[0].version == hosts[1].version
    return hosts[0] == hosts[1] or (same_family and any(host.is_unspecified for host in hosts))


def _two_vips(place: str, earlier: str) -> bool:
    """Return whether these are listeners of two VIPs, which are told apart by server name."""
    vips = [each.partition(".")[0] for each in (place, earlier)]
    return all(vip.startswith("vip[") for vip in vips) and vips[0] != vips[1]


def _sharers_that_disagree(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """Check VIPs on one address: one default at most, and one answer to who begins with a PROXY header."""
    by_address: dict[str, list[PlacedVip]] = defaultdict(list)
    for index, vip in vips:
        for address in vip.listen:
            if split_address(address)[1]:
                by_address[address].append((index, vip))
    for address, sharers in by_address.items():
        first, other = sharers[0]
        defaults = [index for index, vip in sharers if vip.default]
        if len(defaults) > 1:
            yield (
                f"vip[{defaults[1]}].default: vip[{defaults[0]}] is the default of {address} already; one address has "
                "one"
            )
        for index, vip in sharers[1:]:
            if set(vip.proxy_from) != set(other.proxy_from):
                yield (
                    f"vip[{index}].proxy_from: differs from that of vip[{first}], which listens on {address} too; the "
                    "header comes before the server name, so make them equal"
                )


def _half_a_listener(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """Check that a VIP that listens has a certificate and its key, and that neither of these is alone."""
    for index, vip in vips:
        needs_both = bool(vip.listen or vip.certificate or vip.private_key or vip.more_certificates or vip.ocsp)
        because = "listens" if vip.listen else "has one of certificate and private_key and needs both"
        for key, value in (("certificate", vip.certificate), ("private_key", vip.private_key)):
            if needs_both and value is None:
                yield f'vip[{index}].{key}: is missing, and VIP "{vip.name}" {because}; name a PEM file'


def _backends_that_are_ours(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """Check that no backend is a listener of this very file: we would connect to ourselves, and so on without end."""
    listeners = [(f"vip[{index}]", address) for index, vip in vips for address in vip.listen]
    for index, vip in vips:
        for at, (target, _) in enumerate(vip.backends):
            host, port = ("", 0) if target.startswith("unix:") else split_address(target)
            for place, address in listeners:
                if port and port == split_address(address)[1] and _reaches(host, split_address(address)[0]):
                    yield (
                        f"vip[{index}].backend[{at}]: {target} is where {place} of this file listens ({address}), so "
                        "connections would go round in circles; name the program behind"
                    )
                    break


def _backends_that_cannot_be_chosen(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """One backend twice, of which only one weight could hold; a pool of which none takes a connection."""
    for index, vip in vips:
        first: dict[str, int] = {}
        for at, (target, _) in enumerate(vip.backends):
            if first.setdefault(target, at) != at:
                yield (
                    f"vip[{index}].backend[{at}]: {target} is backend[{first[target]}] already; name it once, with a "
                    "weight if it is to get more"
                )
        if vip.backend and not any(weight for _, weight in vip.backends):
            yield (
                f"vip[{index}].backend: every one has weight=0, which gets no connections; give one of them a weight, "
                "or none named"
            )


def _reaches(host: str, listener: str) -> bool:
    """Return whether a connection to `host` meets this listener, as far as can be told without asking the machine."""
    if host == listener or host == "localhost":
        return host == listener or ip_address(listener).is_loopback or ip_address(listener).is_unspecified
    try:
        ours = ip_address(host)
    except ValueError:
        return False
    everywhere = ip_address(listener)
    return ours.is_loopback and everywhere.is_unspecified and ours.version == everywhere.version


def _protocols_nobody_speaks(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """Check `alpn` of the built-in responder, which reads HTTP/1.1 alone; all else is the operator's to know."""
    for index, vip in vips:
        strange = [protocol for protocol in vip.alpn if protocol not in RESPONDER_SPEAKS]
        if vip.listen and not vip.backend and strange:
            yield (
                f'vip[{index}].alpn: VIP "{vip.name}" has no backend, and the built-in responder does not speak '
                f'{", ".join(map(shown, strange))}; leave only "http/1.1", or name the backend that does'
            )


def _quotas_over_all(vips: Sequence[PlacedVip]) -> Iterator[str]:
    given = [(index, vip.sharing.quota) for index, vip in vips if vip.sharing.quota is not None]
    total = round(sum(quota for _, quota in given), 6)
    if total > 1:
        parts = " + ".join(f"{quota:.4g}" for quota in (quota * 100 for _, quota in given))
        yield f"vip[{given[-1][0]}].sharing.quota: all quotas together are over 100% of the cache ({parts}); lower one"
    elif total == 1 and len(given) < len(vips):
        index, vip = next((index, vip) for index, vip in vips if vip.sharing.quota is None)
        yield (
            f'vip[{index}].sharing.quota: the other quotas leave nothing of the cache for VIP "{vip.name}"; '
            "lower one of them"
        )


def _groups_that_disagree(vips: Sequence[PlacedVip]) -> Iterator[str]:
    """Check that VIPs of one share group have equal security settings;
    else they share nothing (`policy.scope.Security`).
    """
    first: dict[str, PlacedVip] = {}
    for index, vip in vips:
        at, other = first.setdefault(vip.group, (index, vip))
        for key, own, theirs in _security_differences(vip, other):
            yield (
                f'vip[{index}].{key}: is {own}, but {theirs} in vip[{at}] ("{other.name}") of the same share group '
                f'"{vip.group}", so neither would take the other\'s sessions; make them equal or use two groups'
            )


def _security_differences(one: VipSettings, other: VipSettings) -> Iterator[tuple[str, str, str]]:
    pairs = (
        ("min_tls", f'"{one.min_tls}"', f'"{other.min_tls}"'),
        ("sharing.bind", f'"{one.sharing.bind}"', f'"{other.sharing.bind}"'),
        ("client_auth", _client_auth(one), _client_auth(other)),
    )
    yield from (pair for pair in pairs if pair[1] != pair[2])


def _client_auth(vip: VipSettings) -> str:
    """Return the settings that must agree, in words; whether two files hold the same authorities only
    the files can tell.
    """
    auth = vip.client_auth
    if auth is None:
        return "not asked for"
    depth = "" if auth.depth is None else f", depth {auth.depth}"
    return f'"{auth.mode}"{depth}, {"with" if auth.crl_file else "without"} crl_file'
