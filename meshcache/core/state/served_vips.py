"""The VIPs that this node serves: their terms, their own streams, and what the gates answer for them.

Moves no session; says where one belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from meshcache.core.cache.streams import Stream
from meshcache.core.policy.gates import Terms, Verdict, may_accept, may_resume, may_send
from meshcache.core.policy.own_policy import NO_OWN_POLICY, OwnPolicy
from meshcache.core.state.counters import VipCounters
from meshcache.core.values.session import Session, StreamKey
from meshcache.core.values.topology import VIPS_MAX, Identity, LocalVip, NodeRecord, VipNote

_MEMO_MAX = 4096
"""Answers of may_accept remembered, and of may_resume for each VIP; all forgotten at once. Keyed by `id(terms)`, since
hashing terms costs more than asking the policy; the entry keeps the terms alive so that the id can't be reused. The
decoder gives the same object for the same bytes."""


@dataclass(slots=True)
class ServedVip:
    """A VIP as it is served now.

    ``stream`` numbers what this node publishes for it, ``last_seq`` is the newest number given and ``flushed_seq`` the
    newest that peers may be told of. ``filed_under`` are the VIPs under which a session for it may be filed: itself
    first, then the others of its share group. ``former`` are the lives under which this process made sessions before.
    """

    vip: LocalVip
    stream: Stream
    counters: VipCounters
    last_seq: int = 0
    flushed_seq: int = 0
    filed_under: tuple[str, ...] = ()
    former: frozenset[int] = frozenset()
    own_policy: OwnPolicy = NO_OWN_POLICY
    _verdicts: dict[int, tuple[Terms, Terms, Verdict]] = field(default_factory=dict)

    def made(self, session: Session) -> bool:
        """Return whether this process made a session, by any of its VIPs, under any number of its life."""
        own = self.stream.key
        same = session.stream.incarnation == own.incarnation or session.stream.incarnation in self.former
        return same and session.stream.origin == own.origin

    def may_resume(self, source: Terms) -> Verdict:
        """Return what the policy answers for a session made under `source`, by this VIP's present terms.

        It is a part of the verdict: see `resumption`. An answer is kept with the two terms it was about, which can't
        change, and holds for these two alone.
        """
        target, known = self.vip.terms, self._verdicts.get(id(source))
        if known is None or known[0] is not source or known[1] is not target:
            if len(self._verdicts) >= _MEMO_MAX:
                self._verdicts.clear()
            verdict = may_resume(source, target, self.own_policy.may_accept)
            known = self._verdicts[id(source)] = (source, target, verdict)
        return known[2]

    def forget_verdicts(self) -> None:
        """Ask anew from now on."""
        self._verdicts.clear()


class ServedVips:
    """All VIPs of this node, by name; ``record`` is what it tells others of them."""

    def __init__(self, identity: Identity) -> None:
        self.own_policy: OwnPolicy = NO_OWN_POLICY
        self._served: dict[str, ServedVip] = {}
        self.get = self._served.get
        """The VIP of this name, or None. The dict's own method, always the same dict: a handshake asks often."""
        self._last_seqs: dict[str, int] = {}  # of VIPs that aren't served any more
        self._accepted: dict[int, tuple[Terms, tuple[Verdict, str]]] = {}
        self.terms: tuple[Terms, ...] = ()
        self.generation = 0
        """Grows with every change of which VIPs are served and of their settings; the record's revision only when
        others are to hear of it."""
        self.record = NodeRecord(
            identity.node, identity.incarnation, identity.colo, identity.address, 1, (), identity.version
        )

    def __iter__(self) -> Iterator[ServedVip]:
        """In the order of names, which is the order of ``record.vips``."""
        return iter(list(self._served.values()))

    def __len__(self) -> int:
        return len(self._served)

    @property
    def remembered(self) -> int:
        """Return how many answers of `accept` are remembered."""
        return len(self._accepted)

    def put(self, served: ServedVip) -> None:
        """Serve a VIP from now on, or serve it on other terms. Raises ValueError when there are too many."""
        if served.vip.terms.vip not in self._served and len(self._served) >= VIPS_MAX:
            raise ValueError(f"a node serves at most {VIPS_MAX} VIPs")
        served.own_policy = self.own_policy
        self._served[served.vip.terms.vip] = served
        self._changed()

    def change(self, served: ServedVip, vip: LocalVip) -> bool:
        """Serve a VIP by other settings from now on. Return whether others are to hear of it: its terms changed, or
        what is noted of it.
        """
        before, served.vip = served.vip, vip
        self.generation += 1
        told_anew = (vip.terms, self._note(vip)) != (before.terms, self._note(before))
        if told_anew:
            self._changed()
        return told_anew

    def go_on_as(self, incarnation: int) -> None:
        """Tell what is served as a later life of this node."""
        self.record = replace(self.record, incarnation=incarnation)
        self._changed()

    def remove(self, name: str) -> None:
        """Serve a VIP no longer; should it come back, its stream goes on where it ended."""
        self._last_seqs[name] = self._served.pop(name).last_seq
        self._changed()

    def last_seq(self, name: str) -> int:
        """Return the newest number given for a VIP that isn't served now; 0 if it never was."""
        return self._last_seqs.get(name, 0)

    def accept(self, source: Terms) -> tuple[Verdict, str]:
        """Return whether this node may keep sessions made under `source`, and under which VIP to file them."""
        known = self._accepted.get(id(source))
        if known is None:
            if len(self._accepted) >= _MEMO_MAX:
                self._accepted.clear()
            known = self._accepted[id(source)] = (source, self._judge(source))
        return known[1]

    def inherit(self, source: Terms) -> tuple[Verdict, str]:
        """Return what `accept` does, for sessions that this node had in its last life: those that it made itself skip
        the reach, as they do at each lookup.
        """
        if source.node != self.record.node:
            return self.accept(source)
        willing = [own.vip for own in self.terms if may_resume(source, own)]
        if not willing:
            return may_accept(source, self.terms), ""
        return Verdict.ALLOWED, source.vip if source.vip in willing else willing[0]

    def made_before(self, key: StreamKey) -> bool:
        """Return whether this node made a stream in a former life, of which it has the sessions."""
        return key.origin == self.record.node and any(key.incarnation in served.former for served in self)

    def send(self, source: Terms, target: NodeRecord) -> bool:
        """Return whether sessions made under `source` may go to the node with this record."""
        return bool(self.may_send(source, target.vips))

    def may_send(self, source: Terms, peer_terms: Iterable[Terms]) -> Verdict:
        """Return what the policy answers for sessions made under `source` on their way to these terms of a peer."""
        return may_send(source, peer_terms, self.own_policy.may_send)

    def follow(self, own_policy: OwnPolicy) -> None:
        """Ask the operator's own policy about each crossing, anew if it was asked before."""
        borders_differ = (own_policy is NO_OWN_POLICY) != (self.own_policy is NO_OWN_POLICY)
        self.own_policy = own_policy
        if borders_differ:
            self._changed()
        self._accepted.clear()
        for served in self._served.values():
            served.own_policy = own_policy
            served.forget_verdicts()

    def islands(self, record: NodeRecord) -> frozenset[str]:
        """Return the share groups that this node and another both serve with different settings."""
        own = {terms.group: terms.digest for terms in self.terms}
        return frozenset(vip.group for vip in record.vips if own.get(vip.group, vip.digest) != vip.digest)

    def island_parts(self, other: NodeRecord, group: str) -> tuple[bytes, bytes]:
        """Return the hashes of the single settings that this node and another have for a share group;
        empty where one doesn't tell.
        """
        return _parts_of(self.record, group), _parts_of(other, group)

    def _judge(self, source: Terms) -> tuple[Verdict, str]:
        narrowing = self.own_policy.may_accept
        verdict = may_accept(source, self.terms, narrowing)
        if not verdict:
            return verdict, ""
        willing = [own.vip for own in self.terms if may_accept(source, [own], narrowing)]
        return verdict, source.vip if source.vip in willing else willing[0]

    def _note(self, vip: LocalVip) -> VipNote:
        """Return what others are told of a VIP. With a policy of our own we take part in nobody's ring of ticket keys:
        a key is passed on to all of a ring, and can't be kept from one of them.
        """
        return replace(vip.note, tickets=vip.rotate_s is not None and self.own_policy is NO_OWN_POLICY)

    def _changed(self) -> None:
        self.generation += 1
        in_order = sorted(self._served.items())
        self._served.clear()
        self._served.update(in_order)
        self._accepted.clear()
        self.terms = tuple(served.vip.terms for served in self._served.values())
        notes = tuple(self._note(served.vip) for served in self._served.values())
        self.record = replace(self.record, revision=self.record.revision + 1, vips=self.terms, notes=notes)
        for served in self._served.values():
            served.filed_under = self._filed_under(served.vip.terms)
            served.stream.age = self.record.age

    def _filed_under(self, terms: Terms) -> tuple[str, ...]:
        others = (other.vip for other in self.terms if other.vip != terms.vip and other.group == terms.group)
        return (terms.vip, *others)


def _parts_of(record: NodeRecord, group: str) -> bytes:
    return next((record.note_of(terms.vip).parts for terms in record.vips if terms.group == group), b"")
