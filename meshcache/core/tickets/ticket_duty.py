"""Makes, spreads and ends ticket keys: a key is made by whom all can tell, known to all, and only then encrypts.

There is no election and no round. The best of a rendezvous hash among the nodes of a ring makes the next key when the
present one's time is over; the second does so a little later if it sees none, and so on. Every node says what it has,
and whoever sees a key missing sends it. Each begins to encrypt with the highest key that, as far as it is told,
everybody has; since it can open tickets from the moment it has a key, nobody meets a ticket that it can't open.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from meshcache.core.control.withdraws import Withdraws
from meshcache.core.membership.joining import Joining
from meshcache.core.state.counters import TicketCounters
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.members import Members, Peer
from meshcache.core.state.outbox import Outbox
from meshcache.core.state.roster import RosterTable
from meshcache.core.state.served_vips import ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.state.tls_edge import TlsEdge
from meshcache.core.tickets.peers_keys import PeersKeys
from meshcache.core.tickets.ring import Ring
from meshcache.core.tickets.ring_nodes import RingNodes
from meshcache.core.tickets.rings import Rings
from meshcache.core.tickets.view import shown_ring
from meshcache.core.values.drops import Drop
from meshcache.core.values.events import TicketKeyInUse, TicketKeyMade, TicketKeysWiped
from meshcache.core.values.ticket_key import TicketKey, new_secret
from meshcache.core.wire.ticket_messages import KEYS_MAX, HeldKey, RingStatus, TicketKeys, TicketStatus, ToldKey

_HURRY = 0.1
"""Of the pause between two statuses, while a key is on its way or a ring has none."""

_DRIFT = 4e-4
"""Twice what one clock runs fast or slow: a key that is made after a withdraw must look so on all of them."""

_LAST_S = 5.0
"""A key that is so close to its end isn't sent to anybody."""

_ROTATE_PAUSE_S = 10.0
"""Between two keys of one ring that operators ask for: each opens for hours, and a ring keeps `KEYS_MAX`."""

_PATIENCE_S = 10.0

_WITHOUT_SHOWN = 8


class VipKeys(NamedTuple):
    """What handshakes of a VIP need: the key to encrypt with, and all that open, the highest first."""

    ring: Ring
    encrypting: TicketKey | None
    opening: tuple[TicketKey, ...]


class TicketDuty:
    """The ticket keys of one node. `version` grows whenever `of_vip` may answer otherwise, times aside."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        vips: ServedVips,
        members: Members,
        roster: RosterTable,
        outbox: Outbox,
        withdraws: Withdraws,
        joining: Joining,
        edge: TlsEdge,
        now: float,
    ) -> None:
        self._rng = local.rng
        self._limits = local.limits
        self._telemetry = telemetry
        self._vips = vips
        self._members = members
        self._roster = roster
        self._outbox = outbox
        self._withdraws = withdraws
        self._joining = joining
        self.rings = Rings(vips, telemetry.events, local.limits)
        self._peers = PeersKeys(members)
        self.nodes = RingNodes(self.rings, self._peers, members, roster, vips)
        self._stamp: tuple[int, ...] = ()
        self._status_at = now
        self._due_at = self._expected_at = float("inf")
        self._hold_until = now
        self._changes = 0
        self._edge = edge

    # --- what handshakes and operators ask

    @property
    def version(self) -> int:
        return self.rings.version + self._changes

    def of_vip(self, vip: str, now: float) -> VipKeys | None:
        """Return a VIP's keys, by the terms that hold now; None when it has no tickets."""
        self.follow(now)
        ring = self.rings.of_vip(vip)
        return None if ring is None else VipKeys(ring, ring.encrypting(now), tuple(ring.keys))

    def rotate(self, vip: str, now: float) -> int:
        """Make the next key of a VIP's ring now. Return its number. Raises ValueError, in words, when that can't be."""
        self.follow(now)
        ring = self.rings.of_vip(vip)
        if ring is None:
            raise ValueError(f"VIP {vip} has no tickets here")
        if any(now - key.born_at < _ROTATE_PAUSE_S for key in ring.keys):
            raise ValueError(f"the newest key of VIP {vip} was made only just now")
        if now < ring.ended_at + self._quiet_s(ring):
            raise ValueError(f"the keys of VIP {vip} were withdrawn just now; the next one comes by itself")
        return self._make(ring, now).generation

    def ready(self) -> bool:
        """Return whether every ring has keys, or is this node's to begin."""
        return all(ring.keys or not self.nodes.linked(ring) for ring in self.rings)

    def show(self, now: float) -> list[dict[str, Any]]:
        """Return what operators see of the rings; names of keys are no secret, and cut."""
        self.follow(now)
        return [
            shown_ring(ring, self.nodes, self._vips.record.node, now)
            for ring in sorted(self.rings, key=lambda each: (each.group, each.id))
        ]

    def follow(self, now: float) -> None:
        """Hold the rings to the VIPs' terms and to the withdraws that are known, at once."""
        if self.rings.follow(now):
            self._due_at = now
            self._edge.ticket_keys_changed()
        if len(self._withdraws):
            for ring in self.rings:
                self._end(ring, now)

    def counters(self, vip: str) -> TicketCounters:
        """Return where a VIP's tickets are counted; whoever adds to it holds the caller's lock."""
        return self._telemetry.counters.vip(vip).tickets

    def forget(self, now: float) -> None:
        """Wipe all keys: this node ends."""
        for ring in self.rings:
            ring.wipe(now)
        self._changed()

    def bequeathed(self, now: float) -> list[TicketKeys]:
        """Return each ring's keys for this node's next life, the one that encrypts first. Also of rings that no other
        node is in: the next life is the same node.
        """
        return [
            TicketKeys(
                ring.id, tuple(ring.told(key, now) for key in sorted(ring.keys, key=lambda k: k is not ring.current))
            )
            for ring in self.rings
            if ring.keys
        ]

    def inherit(self, told: TicketKeys, now: float) -> None:
        """Take over what this node had in its former life, and encrypt with what that did."""
        self.follow(now)
        ring = self.rings.get(told.ring)
        if ring is None or not told.keys:  # its VIP is in another border now, or served no more
            return
        for each in told.keys:
            ring.take(each, now)
        first = told.keys[0]
        key = TicketKey(ring.id, first.secret, first.generation, now, first.rotate_s, first.lifetime_s)
        ring.current = ring.find(key.name)
        key.wipe()
        self._changed()
        self._due_at = now

    # --- timers and messages

    def next_due(self) -> float:
        """Return when to call `tick` next."""
        return self._due_at if self._stamp == self._now_stamp() else float("-inf")

    def tick(self, now: float) -> None:
        """Make, use, tell and wipe what is due."""
        self._notice_stall(now)
        stamp = self._now_stamp()
        if stamp == self._stamp and now < self._due_at:
            return
        if stamp != self._stamp:
            self._stamp, self._status_at = stamp, now
            self._peers.forget_gone()
        self.follow(now)
        for ring in self.rings:
            self._wiped(ring, ring.expire(now), "over", now)
            if not self._joining.joining and max(self._make_at(ring), self._hold_until) <= now:
                self._make(ring, now)
            self._use(ring, now)
        if self._status_at <= now:
            self._tell_status(now)
        self._due_at = self._expected_at = min((self._ring_due(ring, now) for ring in self.rings), default=float("inf"))

    def status_received(self, peer: Peer, status: TicketStatus, now: float) -> None:
        """Note what a peer has, and send it what it lacks; answer with our own where it has what we lack."""
        self._notice_stall(now)
        shared = self.rings.of_node(peer.record)
        known = self._peers.of(peer)
        for told in status.rings:
            ring = self.rings.get(told.ring)
            if ring is None or told.ring not in shared:
                continue
            known.rings[told.ring] = told
            for held in told.held:
                self._age_heard(ring, held.name, held.age_ms, now)
            self._send_keys(ring, [peer], [key for key in ring.keys if known.lacks(key)], now)
            if any(ring.find(held.name) is None for held in told.held) and known.may_tell(told.ring, now):
                self._outbox.send_all([peer.address], TicketStatus((self._status(ring, now),)))
        self._due_at = now

    def keys_received(self, peer: Peer, told: TicketKeys, now: float) -> None:
        """Take in keys from a node of their ring, and pass on what is new to the colos that its sender isn't in."""
        self._notice_stall(now)
        ring = self.rings.get(told.ring)
        if ring is None or told.ring not in self.rings.of_node(peer.record):
            self._refuse(peer, Drop.TICKET_KEY_FOREIGN, len(told.keys), now)
            return
        if not self._peers.of(peer).may_bring(len(told.keys), self._limits, now):
            self._telemetry.drop(Drop.TICKET_KEY_RATE, len(told.keys))
            return
        before = ring.pushed_out
        taken = [key for key in (self._take(ring, peer, each, now) for each in told.keys) if key is not None]
        self._pushed_out(ring, ring.pushed_out - before, now)
        news = [key for key in taken if not key.wiped]
        if news:
            self._changed()
            self._send_keys(ring, [each for each in self.nodes.linked(ring) if each.colo != peer.colo], news, now)
            self._status_at = now
        self._due_at = now

    # --- making and using

    def _make_at(self, ring: Ring) -> float:
        """Return when it is this node's turn to make the next key, if nobody has by then."""
        place, others = self.nodes.turn(ring)
        if ring.keys:
            at = max(ring.turns_at(ring.keys[0]), ring.turns_since)  # overdue for all nodes at once: still in turn
        else:
            first_s = self._limits.ticket_first_s if others else 0.0
            at = max(ring.empty_since + first_s, ring.ended_at + self._quiet_s(ring))
        return at + min(place * self._limits.ticket_step_s, self._limits.ticket_step_s_max)

    def _notice_stall(self, now: float) -> None:
        """After a stall of ours, first hear what the others have made meanwhile: our turn may be long over."""
        if now - self._expected_at >= self._limits.stall_s:
            self._hold_until = now + self._limits.ticket_first_s
        self._expected_at = max(self._expected_at, now)

    def _make(self, ring: Ring, now: float) -> TicketKey:
        before = ring.pushed_out
        key = TicketKey(ring.id, new_secret(self._rng), ring.top + 1, now, ring.rotate_s, ring.lifetime_s)
        ring.put(key, now)
        self._pushed_out(ring, ring.pushed_out - before, now)
        self._telemetry.events.add(TicketKeyMade(now, ring.group, key.generation))
        self._send_keys(ring, self.nodes.linked(ring), [key], now)
        self._changed()
        self._status_at = self._due_at = now
        self._use(ring, now)
        return key

    def _use(self, ring: Ring, now: float) -> None:
        """Encrypt with the highest key that everybody has, or that has waited for them long enough.

        What a former life of this node encrypted with goes on doing so until the others have been met.
        """
        if ring.current is not None and self._joining.joining:
            return
        for key in ring.keys:
            if key is ring.current:
                return
            without = self.nodes.without(ring, key)
            waited_s = now - ring.learned_at[key.name]
            if now < ring.encrypts_until(key) and (not without or waited_s >= self._limits.ticket_spread_s):
                ring.current = key
                self._changed()
                shown = ", ".join(without[:_WITHOUT_SHOWN])
                self._telemetry.events.add(TicketKeyInUse(now, ring.group, key.generation, shown))
                return
            if now < ring.encrypts_until(key) and ring.encrypting(now) is not None:
                return  # of two that were made at once, nobody begins with the lower one: that would be a third in use

    def _changed(self) -> None:
        self._changes += 1
        self._edge.ticket_keys_changed()

    def _quiet_s(self, ring: Ring) -> float:
        return self._limits.ticket_quiet_s + _DRIFT * ring.rotate_s

    # --- taking in and ending

    def _take(self, ring: Ring, peer: Peer, told: ToldKey, now: float) -> TicketKey | None:
        """Keep a key; return it when it is news. Whatever is wrong with it is counted."""
        key = TicketKey(ring.id, told.secret, told.generation, now, told.rotate_s, told.lifetime_s)
        name, fingerprint = key.name, key.fingerprint()
        key.wipe()
        self._age_heard(ring, name, told.age_ms, now)
        elsewhere = any(
            other.fingerprint() == fingerprint and other.name != name for each in self.rings for other in each.keys
        )
        taken = Drop.TICKET_KEY_FOREIGN if elsewhere else ring.take(told, now)
        if isinstance(taken, Drop):
            self._refuse(peer, taken, 1, now)
            return None
        self._note_held(ring, peer, HeldKey(told.generation, name))
        return ring.find(name) if taken else None

    def _age_heard(self, ring: Ring, name: bytes, age_ms: int, now: float) -> None:
        older = ring.age_heard(name, age_ms, now)
        if older is not None:
            self._changed()
            self._wiped(ring, int(older.wiped), "withdrawn", now)

    def _note_held(self, ring: Ring, peer: Peer, held: HeldKey) -> None:
        """A node has what it sends."""
        known = self._peers.of(peer)
        status = known.rings.get(ring.id, RingStatus(ring.id, ()))
        if not known.has(ring.id, held.name):
            known.rings[ring.id] = status._replace(held=(*status.held, held)[-KEYS_MAX:])

    def _refuse(self, peer: Peer, reason: Drop, count: int, now: float) -> None:
        self._telemetry.drop(reason, count)
        if reason is Drop.TICKET_KEY_OLD:
            self._withdraws.doubt(now)
        patience_s = 0.0 if reason is Drop.TICKET_KEY_WEAK else _PATIENCE_S  # terms change, and clocks differ
        self._telemetry.refusals.note(peer.name, peer.address, reason, now, patience_s=patience_s)

    def _end(self, ring: Ring, now: float) -> None:
        ended_at = self._withdraws.tickets_ended_at(ring.group, self.nodes.vips_of(ring), ring.ended_at)
        if ended_at > ring.ended_at:
            self._wiped(ring, ring.end(ended_at, now), "withdrawn", now)
        ring.ended_at = ended_at  # lower than before where a withdraw had come late

    def _pushed_out(self, ring: Ring, count: int, now: float) -> None:
        """Count keys that go for newer ones, and say so: their tickets end early."""
        if count > 0:
            self._telemetry.drop(Drop.TICKET_KEYS_FULL, count)
            self._telemetry.events.add(TicketKeysWiped(now, ring.group, count, f"only {KEYS_MAX} are kept"))

    def _wiped(self, ring: Ring, count: int, why: str, now: float) -> None:
        if count:
            self._changed()
            self._status_at = self._due_at = now
            self._telemetry.events.add(TicketKeysWiped(now, ring.group, count, why))

    # --- telling

    def _tell_status(self, now: float) -> None:
        """Say to every node of our rings what we have; to those with the same rings in the same bytes."""
        alike: dict[frozenset[bytes], list[Peer]] = {}
        for peer in self._members:
            shared = self.rings.of_node(peer.record) if peer.usable else frozenset()
            if shared:
                alike.setdefault(shared, []).append(peer)
        for shared, peers in alike.items():
            rings = (ring for ring in self.rings if ring.id in shared)
            status = TicketStatus(tuple(self._status(ring, now) for ring in rings))
            self._outbox.send_all([peer.address for peer in peers], status)
        settled = all(self._settled(ring) for ring in self.rings)
        self._status_at = now + self._limits.ticket_status_s * (1 if settled else _HURRY)

    def _settled(self, ring: Ring) -> bool:
        return bool(ring.keys) and ring.current is ring.keys[0] and not self.nodes.without(ring, ring.keys[0])

    def _status(self, ring: Ring, now: float) -> RingStatus:
        newest = ring.keys[0] if ring.keys else None
        spread = newest is not None and self.nodes.near_have(ring, newest)
        return RingStatus(ring.id, ring.held(now), newest.name if newest is not None and spread else b"")

    def _send_keys(self, ring: Ring, peers: Iterable[Peer], keys: list[TicketKey], now: float) -> None:
        """Send keys to nodes of their ring, and to nobody else: the gate that every key passes on its way out."""
        for peer in (each for each in peers if each.receives):
            known = self._peers.of(peer)
            fresh = [key for key in keys if now < ring.opens_until(key) - _LAST_S and known.may_tell(key.name, now)]
            if fresh and ring.id in self.rings.of_node(peer.record):
                message = TicketKeys(ring.id, tuple(ring.told(key, now) for key in fresh))
                self._outbox.send_all([peer.address], message, secret=True)

    # --- when

    def _now_stamp(self) -> tuple[int, ...]:
        mesh = self._members.generation, self._vips.generation, self._roster.generation
        return *mesh, self._withdraws.acts, self._joining.joining

    def _ring_due(self, ring: Ring, now: float) -> float:
        make_at = self._status_at if self._joining.joining else max(self._make_at(ring), self._hold_until)
        used_at = [ring.learned_at[name] + self._limits.ticket_spread_s for name in ring.unused()]
        if used_at and ring.current is not None:
            used_at.append(ring.encrypts_until(ring.current))
        # Whose time has come and who wasn't begun with waits for something else: the end of the one in use, or news.
        return min(self._status_at, make_at, ring.next_end(), *(at for at in used_at if at > now))
