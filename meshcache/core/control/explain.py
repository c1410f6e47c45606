"""Says in words why sessions may or may not go from one VIP to another, as one node knows the mesh.

Asks the same gates as the sessions meet and reports what they answer; nothing here is asked when a session moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from meshcache.core.policy.digest_parts import differing
from meshcache.core.policy.gates import Terms, Verdict, may_accept, may_cross, may_resume, may_send
from meshcache.core.policy.own_policy import NO_OWN_POLICY, OwnPolicy
from meshcache.core.policy.ring_id import may_share, ring_id
from meshcache.core.state.resumption import resume_verdict
from meshcache.core.values.session import Session
from meshcache.core.values.topology import LocalVip, NodeRecord, VipNote

NO_TICKETS = "no_tickets"
"""Beside the gates' verdicts: one end has no ticket keys at all."""

NODES_SHOWN_MAX = 64
"""Names listed for one answer; a colo's own nodes fit."""


class VipPlace(NamedTuple):
    """A VIP in a colo, written ``VIP@COLO``."""

    vip: str
    colo: str

    def __str__(self) -> str:
        return f"{self.vip}@{self.colo}"


@dataclass(frozen=True, slots=True)
class _Alike:
    """Nodes that say the same of a VIP, so that one of them answers for all."""

    terms: Terms
    note: VipNote
    nodes: tuple[str, ...]

    @property
    def parts(self) -> bytes:
        return self.note.parts


def explain_way(
    records: Iterable[NodeRecord],
    source: VipPlace,
    target: VipPlace,
    own: str = "",
    own_policy: OwnPolicy = NO_OWN_POLICY,
) -> dict[str, Any]:
    """Return whether sessions of `source`, and tickets where it gives any, may be used at `target`, in words.

    ``allowed`` is "all", "some" or "none" of the ways between their nodes, by what `source` gives its clients. Each of
    ``ways`` is a verdict with the gate that refuses it (None where it is allowed), its reason in words, whom it is
    between, what either end's ``resumption`` is, and ``tickets``: the same for those, None where neither end has any.
    The gate is `may_accept` on the way to the node called `own`, which answers; elsewhere it is the sender's
    `may_send`. That node's operator's own policy is asked about its own ways; of others' nobody else knows.

    Where one node alone serves both, the one way is that node's from the one VIP to the other, by `may_resume`; from a
    VIP to itself there is none, and all is allowed.
    """
    records = list(records)
    senders, receivers = _alike(records, source), _alike(records, target)
    pairs = [(one, other) for one in senders for other in receivers]
    between = [(one, other) for one, other in pairs if (one.nodes, len(one.nodes)) != (other.nodes, 1)]
    ways = [way for one, other in between for way in _narrowed(_way(one, other, own), one, other, own, own_policy)]
    if not between and source != target:
        ways = [_way(one, other, own, within=True) for one, other in pairs]
    return {
        "from": str(source),
        "to": str(target),
        "allowed": "all" if pairs and not ways else _summary(list(map(_is_open, ways))),
        "ways": sorted(ways, key=lambda way: (way["verdict"], way["from_nodes"], way["to_nodes"])),
    }


def explain_session(
    session: Session,
    origin: Terms,
    own: NodeRecord,
    records: Iterable[NodeRecord],
    vips: Iterable[LocalVip],
    now: float,
    own_policy: OwnPolicy = NO_OWN_POLICY,
    *,
    made_here: bool,
) -> dict[str, Any]:
    """Return where one session of this node's cache may resume, in words: here, VIP by VIP, and on which other nodes.

    `made_here` says that this process made it, maybe under an earlier number of its life. ``gate`` is the one that
    refuses it, None where it is allowed, or where no gate was asked: it never leaves, or there is nobody to ask about.
    """
    records = list(records)
    note = next((record.note_of(origin.vip) for record in records if record.node == origin.node), VipNote())
    return {
        "vip": origin.vip,
        "group": origin.group,
        "origin": origin.node,
        "origin_colo": origin.colo,
        "made_here": made_here,
        "remaining_s": max(int(session.expires_at - now), 0),
        "lineage_s": max(int(now - session.born_at), 0),
        "client_certificate": session.client_certificate,
        "here": [
            _resumes(session, origin, note, vip, made_here, now, own_policy)
            for vip in vips
            if vip.terms.group == origin.group
        ],
        "elsewhere": sorted(
            _elsewhere(session, origin, note, records, own.node, own_policy), key=lambda way: way["verdict"]
        ),
    }


def why(verdict: Verdict, source: Terms, target: Terms, differs: tuple[str, ...] = ()) -> str:
    """Return a crossing's verdict in words that say what to change."""
    match verdict:
        case Verdict.ALLOWED:
            return "both ends allow it" + _spread(source, target)
        case Verdict.OTHER_GROUP:
            return f"share group {source.group} is not share group {target.group}"
        case Verdict.SETTINGS_DIFFER:
            return f"settings of share group {source.group} differ: {', '.join(differs)}"
        case Verdict.SENDER_REACH:
            return f"the reach of {source.vip} in {source.colo} is {source.reach}, which leaves out {target.colo}"
        case Verdict.RECEIVER_REACH:
            return f"the reach of {target.vip} in {target.colo} is {target.reach}, which leaves out {source.colo}"
        case Verdict.OWN_POLICY:
            return _OWN_POLICY_WORDS
        case _:
            return str(verdict.value).replace("_", " ")


def _spread(source: Terms, target: Terms) -> str:
    """Return who holds what may cross, where that isn't everybody."""
    if not source.copies:
        return ""
    if source.colo != target.colo and not source.push:
        return f'; {source.vip} in {source.colo} has push = "none": nothing is pushed there, servers may fetch it'
    plural = "s" * (source.copies != 1)
    return f"; {source.copies} server{plural} of the colo hold{'s' * (not plural)} a session, the others may fetch it"


def _way(one: _Alike, other: _Alike, own: str, *, within: bool = False) -> dict[str, Any]:
    """Return one way between nodes; or `within` the one node that both ends are."""
    gate = may_accept if other.nodes == (own,) else may_send
    verdict = may_resume(one.terms, other.terms) if within else gate(one.terms, [other.terms])
    differs = differing(one.parts, other.parts) if verdict is Verdict.SETTINGS_DIFFER else ()
    return {
        "verdict": verdict.value,
        "gate": None if verdict else (may_resume if within else gate).__name__,
        "why": why(verdict, one.terms, other.terms, differs),
        "differs": list(differs),
        "from_nodes": list(one.nodes[:NODES_SHOWN_MAX]),
        "to_nodes": list(other.nodes[:NODES_SHOWN_MAX]),
        "copies": one.terms.copies or "all",
        "push": "all" if one.terms.push else "none",
        "resumption": {"from": one.note.resumption, "to": other.note.resumption},
        "tickets": _tickets(one, other, within=within),
    }


def _tickets(one: _Alike, other: _Alike, *, within: bool) -> dict[str, str] | None:
    """Return whether tickets made at the one end open at the other: the verdict, and why."""
    if not (one.note.tickets or other.note.tickets):
        return None
    if not (one.note.tickets and other.note.tickets):
        vip, colo = next((each.terms.vip, each.terms.colo) for each in (one, other) if not each.note.tickets)
        reason = f'{vip} in {colo} has resumption = "sessions" there, and is given no ticket keys'
        return {"verdict": NO_TICKETS, "why": reason}
    verdict = _one_ring(one.terms, other.terms) if within else may_share(one.terms, other.terms)
    if verdict is Verdict.OTHER_RING:
        ends = " and ".join(f"{each.terms.vip} in {each.terms.colo} {each.terms.reach}" for each in (one, other))
        reason = f"keys are for one border, and the reach of {ends} are two"
    else:
        differs = differing(one.parts, other.parts) if verdict is Verdict.SETTINGS_DIFFER else ()
        reason = why(verdict, one.terms, other.terms, differs)
    return {"verdict": verdict.value, "why": reason}


def _one_ring(one: Terms, other: Terms) -> Verdict:
    """Return whether two VIPs of one node have one ring's keys, whatever may leave it."""
    verdict = may_resume(one, other)
    return verdict if not verdict or ring_id(one) == ring_id(other) else Verdict.OTHER_RING


def _is_open(way: dict[str, Any]) -> bool:
    """Return whether all that the one end gives its clients is good at the other."""
    mode, tickets = way["resumption"]["from"], way["tickets"]
    by_session = mode == "tickets" or way["verdict"] == _ALLOWED
    return bool(by_session and (mode == "sessions" or tickets["verdict"] == _ALLOWED))


def _narrowed(
    way: dict[str, Any], one: _Alike, other: _Alike, own: str, own_policy: OwnPolicy
) -> Iterator[dict[str, Any]]:
    """Yield a way in parts, where the own policy of the node that answers refuses some of it."""
    sends = own in one.nodes
    ours, theirs = (one, other) if sends else (other, one)
    refused = _refused(ours, theirs, own, own_policy, sends=sends) if way["verdict"] == _ALLOWED else ()
    if not refused:
        yield way
        return
    from_us, to_them = ("from_nodes", "to_nodes") if sends else ("to_nodes", "from_nodes")
    rest = [name for name in theirs.nodes if name not in refused and name != own]
    beside = [name for name in ours.nodes if name != own]
    no = {
        "verdict": Verdict.OWN_POLICY.value,
        "gate": (may_send if sends else may_accept).__name__,
        "why": _OWN_POLICY_WORDS,
    }
    yield way | no | {from_us: [own], to_them: list(refused[:NODES_SHOWN_MAX])}
    if rest:
        yield way | {from_us: [own], to_them: rest[:NODES_SHOWN_MAX]}
    if beside:
        yield way | {from_us: beside[:NODES_SHOWN_MAX]}


def _refused(ours: _Alike, theirs: _Alike, own: str, own_policy: OwnPolicy, *, sends: bool) -> tuple[str, ...]:
    if own not in ours.nodes:
        return ()
    mine = replace(ours.terms, node=own)
    others = [(name, replace(theirs.terms, node=name)) for name in theirs.nodes if name != own]
    if sends:
        verdicts = [(name, may_send(mine, [terms], own_policy.may_send)) for name, terms in others]
    else:
        verdicts = [(name, may_accept(terms, [mine], own_policy.may_accept)) for name, terms in others]
    return tuple(name for name, verdict in verdicts if verdict is Verdict.OWN_POLICY)


_ALLOWED = Verdict.ALLOWED.value

_OWN_POLICY_WORDS = "a policy of the operator's own refuses it on the node that answers, or couldn't be asked"


def _alike(records: list[NodeRecord], place: VipPlace) -> list[_Alike]:
    found: dict[tuple[Terms, VipNote], list[str]] = {}
    for record in records:
        terms = record.terms_of(place.vip) if record.colo == place.colo else None
        if terms is not None:
            note = record.note_of(place.vip)
            alike = VipNote(note.parts, tickets=note.tickets, both=note.both)
            found.setdefault((replace(terms, node=""), alike), []).append(record.node)
    return [_Alike(terms, note, tuple(sorted(nodes))) for (terms, note), nodes in found.items()]


def _summary(allowed: list[bool]) -> str:
    if not any(allowed):
        return "none"
    return "all" if all(allowed) else "some"


def _resumes(
    session: Session, origin: Terms, note: VipNote, vip: LocalVip, made_here: bool, now: float, own_policy: OwnPolicy
) -> dict[str, Any]:
    verdict = resume_verdict(may_resume(origin, vip.terms, own_policy.may_accept), vip, session, now, made_here)
    differs = differing(note.parts, vip.note.parts) if verdict is Verdict.SETTINGS_DIFFER else ()
    reason = _OWN_WORDS.get(verdict) or why(verdict, origin, vip.terms, differs)
    return {
        "vip": vip.terms.vip,
        "verdict": verdict.value,
        "gate": None if verdict else may_resume.__name__,
        "why": reason,
        "differs": list(differs),
    }


_OWN_WORDS = {
    Verdict.LIFETIME: "its lifetime is over",
    Verdict.LINEAGE: "its lineage began longer ago than lineage_s",
    Verdict.CLIENT_CERTIFICATE: "a client certificate was shown for it, and client_certificates is never here",
}


def _elsewhere(
    session: Session, origin: Terms, note: VipNote, records: list[NodeRecord], own: str, own_policy: OwnPolicy
) -> Iterator[dict[str, Any]]:
    if not session.seq:
        yield {
            "verdict": Verdict.CLIENT_CERTIFICATE.value,
            "gate": None,
            "why": "a client certificate was shown for it, so it never leaves this server (client_certificates)",
            "differs": [],
            "nodes": sorted(record.node for record in records if record.node != own)[:NODES_SHOWN_MAX],
        }
        return
    found: dict[_AtNode, list[str]] = {}
    for record in records:
        if record.node not in (own, origin.node):
            found.setdefault(_best_at(origin, note, record, own_policy), []).append(record.node)
    for told, nodes in found.items():
        yield {
            "verdict": told.verdict.value,
            "gate": told.gate,
            "why": told.why,
            "differs": list(told.differs),
            "nodes": sorted(nodes)[:NODES_SHOWN_MAX],
        }


class _AtNode(NamedTuple):
    """What another node may do with a session: the verdict, the gate that refuses it, if one was asked, and why."""

    verdict: Verdict
    gate: str | None
    why: str
    differs: tuple[str, ...] = ()


def _best_at(origin: Terms, note: VipNote, record: NodeRecord, own_policy: OwnPolicy) -> _AtNode:
    """Return what a node's VIP nearest to having it says: that of the same group, else any."""
    if not record.vips:
        return _AtNode(Verdict.NO_TERMS, None, "it serves no VIP")
    terms = min(record.vips, key=lambda terms: (not may_cross(origin, terms), terms.group != origin.group))
    verdict = may_send(origin, [terms], own_policy.may_send)
    gate = None if verdict else may_send.__name__
    differs = differing(note.parts, record.note_of(terms.vip).parts) if verdict is Verdict.SETTINGS_DIFFER else ()
    if verdict is Verdict.OTHER_GROUP:
        return _AtNode(verdict, gate, f"it serves no VIP of share group {origin.group}")
    return _AtNode(verdict, gate, why(verdict, origin, terms, differs), differs)
