"""What this node serves, and on which terms: changes at any time, tells the peers, and takes back what has to go."""

from __future__ import annotations

from math import inf
from typing import Protocol

from meshcache.core.cache.cache import SessionCache
from meshcache.core.control.recall import Recall
from meshcache.core.membership.joining import Joining
from meshcache.core.policy.own_policy import OwnPolicy
from meshcache.core.state.local_node import LocalNode
from meshcache.core.state.outlet import Outlet
from meshcache.core.state.served_vips import ServedVip, ServedVips
from meshcache.core.state.telemetry import Telemetry
from meshcache.core.values.events import IncarnationRaised
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import INCARNATION_MAX, LocalVip

_OUTBID_S_MIN = 0.5
"""The pause before a third life in a row, which doubles each time: two machines of one name in two colos outbid each
other."""

_OUTBID_S_MAX = 15.0
"""The longest such pause: a life that others know and never was keeps this node's sessions from them."""

_OUTBID_QUIET_S = 300.0
"""After so long without a new life the next one comes at once."""

_STEP_MAX = 1000
"""How much higher a later life may be: two machines of one name that outbid the same life mustn't go on as one."""


class PendingPushes(Protocol):
    """What waits to be pushed; the publisher, which stands above this room."""

    def drop_certified(self, name: str) -> None:
        """Forget what waits for a VIP and was made with a client certificate."""

    def drop_waiting(self, name: str) -> None:
        """Forget what waits for a VIP, which goes on."""

    def drop_vip(self, name: str) -> None:
        """Forget a VIP that is served no more, with what waits for it."""


class VipChanges:
    """The one place where terms of this node change: configuration, SIGHUP and live policies all end here."""

    def __init__(
        self,
        local: LocalNode,
        telemetry: Telemetry,
        cache: SessionCache,
        vips: ServedVips,
        joining: Joining,
        publisher: PendingPushes,
        recall: Recall,
        outlet: Outlet,
    ) -> None:
        self._outbid_at = -inf
        self._outbid_pause_s = 0.0
        self._local = local
        self._telemetry = telemetry
        self._cache = cache
        self._vips = vips
        self._joining = joining
        self._publisher = publisher
        self._recall = recall
        self._outlet = outlet

    def set_vip(self, vip: LocalVip, now: float) -> None:
        """Serve a VIP, or serve it on other terms from now on. Raises ValueError; nothing has changed then."""
        own, terms = self._local.identity, vip.terms
        if (terms.node, terms.colo) != (own.node, own.colo):
            raise ValueError("a VIP's terms are this node's own")
        served = self._vips.get(terms.vip)
        if served is None:
            self._add(vip, now)
        else:
            self._change(served, vip, now)

    def remove_vip(self, name: str, now: float) -> None:
        """Serve a VIP no longer."""
        served = self._vips.get(name)
        if served is None:
            return
        vip_cache = self._cache.vip_cache(name)
        served.counters.evicted_before += vip_cache.evicted if vip_cache is not None else 0
        self._publisher.drop_vip(name)
        self._recall.vip_removed(name)
        self._vips.remove(name)
        self._cache.renew()
        self._joining.revised(now)

    def follow(self, own_policy: OwnPolicy, now: float) -> None:
        """Ask the operator's own policy about every crossing from now on, and judge by it what is here and what waits.

        What was sent stays where it went: peers know nothing of this policy.
        """
        revision = self._vips.record.revision
        self._vips.follow(own_policy)
        if self._vips.record.revision != revision:
            self._joining.revised(now)
        self._cache.renew()
        self._recall.own_policy_changed(now)

    def outbid(self, incarnation: int, why: str, now: float) -> None:
        """Another node was told of a life of ours up to this number: go on as a later one, with all sessions.

        Nothing may wait to be pushed. What was made before stays a stream of the life in which it was made, and others
        fetch it as such.
        """
        own = self._local.identity
        if not own.incarnation <= incarnation < INCARNATION_MAX or not self._may_outbid(now):
            return
        later = min(incarnation + 1 + self._local.rng.randrange(_STEP_MAX), INCARNATION_MAX)
        self._local.go_on_as(later)
        lives = {stream.key.incarnation for stream in self._cache.streams if stream.cached}
        for served in self._vips:
            if served.flushed_seq:
                served.stream.see(1, served.flushed_seq, own=True)
            key = StreamKey(own.node, later, served.vip.terms.vip)
            served.stream.published = False
            served.former = (served.former | {own.incarnation}) & lives  # of the others nothing is here
            served.stream = self._cache.streams.publish(served.vip.terms, key, key.vip, now)
            served.last_seq = served.flushed_seq = 0
        self._vips.go_on_as(later)
        self._telemetry.events.add(IncarnationRaised(now, later, why))
        self._joining.revised(now)

    def _may_outbid(self, now: float) -> bool:
        """Return whether a new life may begin now. If not, what asks for it will be said again."""
        since_s = now - self._outbid_at
        if since_s < self._outbid_pause_s:
            return False
        again = since_s < _OUTBID_QUIET_S
        self._outbid_pause_s = min(max(2 * self._outbid_pause_s, _OUTBID_S_MIN), _OUTBID_S_MAX) if again else 0.0
        self._outbid_at = now
        return True

    def _add(self, vip: LocalVip, now: float) -> None:
        own, name = self._local.identity, vip.terms.vip
        stream = self._cache.streams.publish(vip.terms, StreamKey(own.node, own.incarnation, name), name, now)
        last_seq = self._vips.last_seq(name)
        self._vips.put(ServedVip(vip, stream, self._telemetry.counters.vip(name), last_seq, last_seq))
        self._cache.set_quota(name, vip.quota_bytes, vip.quota_sessions)
        self._cache.renew()
        self._joining.revised(now)
        self._outlet.vip_added(now)

    def _change(self, served: ServedVip, vip: LocalVip, now: float) -> None:
        old = served.vip
        served.stream.terms = vip.terms
        self._cache.renew()
        self._cache.set_quota(vip.terms.vip, vip.quota_bytes, vip.quota_sessions)
        told_anew = self._vips.change(served, vip)
        if (old.terms.group, old.terms.digest) != (vip.terms.group, vip.terms.digest):
            self._publisher.drop_waiting(vip.terms.vip)  # it would leave under terms that it wasn't made under
        if not vip.export_client_certificates:
            self._publisher.drop_certified(vip.terms.vip)
        self._recall.vip_changed(old, vip, now)
        if told_anew:
            self._joining.revised(now)
