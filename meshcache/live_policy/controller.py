"""One node's policies as operators change them: checked, spread, taken over, kept, and reported on.

Joins the core, which spreads, the VIPs, which take over, and the file, which keeps. Decides nothing itself: `changes`
says what is refused, `overlay` what holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from meshcache.checks.copies import vip_notes
from meshcache.config import Settings
from meshcache.core.control.live_policies import ENTRIES_MAX, GROUP, KEYS_MAX, VIP
from meshcache.core.values.events import Event, PolicyChanged
from meshcache.core.values.topology import VIPS_MAX, NodeRecord
from meshcache.core.wire.messages import LIVE_NUMBER_MAX
from meshcache.edges import native
from meshcache.errors import PolicyError
from meshcache.live_policy import explanations
from meshcache.live_policy.change_checks import Checks
from meshcache.live_policy.debouncer import Debouncer
from meshcache.live_policy.kept import Kept, bounded, concerns
from meshcache.live_policy.mesh_totals import ask_clocks, ask_figures, ask_policy, ask_withdraw
from meshcache.live_policy.older_nodes import older_nodes
from meshcache.live_policy.overlay import EPOCH, Overlay, hidden, overlay
from meshcache.live_policy.policy_file import PolicyFile
from meshcache.live_policy.policy_view import shown_vip
from meshcache.live_policy.values import OF_VIP
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.pump.pump import Pump

HIDDEN = (
    "VIP %s: the file's new %s isn't in force, since another was set live; `meshcache policy unset %s %s` ends that"
)

log = logging.getLogger("meshcache.policy")


class _Done(NamedTuple):
    """A change as it is on this node, before anybody else was asked."""

    vip: str
    node_only: bool
    version: int
    since: float
    recalled: int
    kept: bool
    news: bool
    """Whether anything was set that wasn't set before."""
    changed: dict[str, str]


class PolicyController:
    """The live policies of one node. Threads may share it.

    The order of locks is: this one's, then the VIPs', then the core's.
    """

    def __init__(self, file: Settings, pump: Pump, vips: AttachedVips, store: PolicyFile, kept: Kept) -> None:
        """`kept` is what an earlier life of the node left: `store.load()`."""
        self._file = file
        self._hidden: list[tuple[str, str]] = []
        self._hidden_before = self._hidden
        self._pump = pump
        self._vips = vips
        self._store = store
        self._kept = kept
        self._node_only, self._numbers = kept.node, kept.numbers
        self._lock = native.RLock()
        self._debouncer = Debouncer(self._catch_up)
        self._faults: tuple[str, ...] = ()
        self._holds: Overlay

    def start(self) -> None:
        """Take over what was kept, before the first context joins."""
        with self._lock:
            with self._pump.lock:
                self._pump.core.live.load(self._kept.live, concerns(self._file))
            self._take_over()
        self._pump.call_in_each_step(self._tell_time)
        self._debouncer.start()

    def close(self) -> None:
        """Finish what is under way; may be called again."""
        self._debouncer.close()

    def noticed(self, events: Iterable[Event]) -> None:
        """Take the core's events, on the pump's thread: policies that came from elsewhere are in force soon."""
        if any(isinstance(event, PolicyChanged) for event in events):
            self._debouncer.wake()

    def reload(self, file: Settings) -> None:
        """Lay what was set live over a file that changed. Raises AttachError; nothing changed then."""
        with self._lock:
            holds = self._over(file)
            self._vips.reload(holds.in_force)
            before, self._file = self._file, file
            self._hidden_before, self._hidden = self._hidden, hidden(before, file, holds)
            self._hold(holds)
        for vip, key in self._hidden:
            log.warning(HIDDEN, vip, key, vip, key)

    def put_back(self, file: Settings) -> None:
        """Lay what was set live over the file from before the last reload again."""
        with self._lock:
            self._file, self._hidden = file, self._hidden_before
            holds = self._over(file)
            self._vips.put_back(holds.in_force)
            self._hold(holds)

    def _over(self, file: Settings) -> Overlay:
        with self._pump.lock:
            return overlay(file, self._pump.core.live, self._node_only)

    @property
    def hidden(self) -> list[str]:
        """What the last reload changed in the file to no effect, as ``VIP.KEY``: something else was set live."""
        return [f"{vip}.{key}" for vip, key in self._hidden]

    def show(self) -> list[dict[str, Any]]:
        """Return what holds for each VIP that a context serves here; see `policy_view.shown_vip`. It waits for no
        change that is under way, which a slow disk may hold up, and shows what holds until that does.
        """
        holds = self._holds
        with self._pump.lock:
            core = self._pump.core
            served = {vip.terms.vip for vip in core.local_vips()}
            vips = [vip for vip in holds.in_force.settings.vips if vip.name in served]
            return [shown_vip(vip, holds, core.live, core.records()) for vip in vips]

    def set_policy(self, vip: str, values: Mapping[str, str], *, node_only: bool = False) -> dict[str, Any]:
        """Set values of a VIP on every node that serves it, or on this one only; waits for what that does.

        Raises PolicyError, and nothing changed anywhere then.
        """
        with self._lock:
            checks = self._checks()
            done = self._change(vip, checks.values(checks.vip(vip), values), node_only)
        return self._with_totals(done)

    def unset_policy(self, vip: str, keys: Sequence[str], *, node_only: bool = False) -> dict[str, Any]:
        """Take values back, all without `keys`, so that the file's hold again. Raises PolicyError."""
        with self._lock:
            checks = self._checks()
            if not (node_only and self._node_only.get(vip)):  # that of a VIP that the file has no more as well
                checks.vip(vip)
            checks.keys(keys)
            with self._pump.lock:
                known = set(self._node_only.get(vip, {}) if node_only else self._pump.core.live.values(VIP, vip))
            done = self._change(vip, dict.fromkeys(sorted(known & set(keys or known)), ""), node_only)
        return self._with_totals(done)

    def withdraw(
        self, *, vip: str = "", group: str = "", origin: str = "", everything: bool = False, new_epoch: bool = False
    ) -> dict[str, Any]:
        """Forget sessions on every node: of one VIP, group or origin, or all; says how many, here and elsewhere,
        and of which groups the tickets ended as well. Those of one origin are left: keys can't tell whose they are.

        With `new_epoch`, what was made before is dead besides wherever it is: the sessions of the VIP's group, of the
        group, or of every group. Raises PolicyError; nothing changed then.
        """
        named = {"vip": vip, "group": group, "origin": origin}
        chosen = {what: name for what, name in named.items() if name}
        if len(chosen) + everything != 1:
            raise PolicyError("say what to withdraw: one of --vip, --group, --origin, or --all")
        if origin and new_epoch:
            raise PolicyError("an epoch is a share group's: --new-epoch goes with --vip, --group or --all")
        with self._lock:
            for what, name in chosen.items():
                self._checks().known(what, name, self._origins())
            here, number, epochs = self._issue(vip, group, origin, self._groups(vip, group) if new_epoch else [])
            kept = self._take_over() if new_epoch else True
            tickets = self._tickets_of(frozenset(self._groups(vip, group)), left=bool(origin))
        total = ask_withdraw(self._pump, self._reachable(), number)
        gone = {"here": here, "mesh": total["sessions"]}
        return {"withdrawn": gone, "tickets": tickets, "epochs": epochs, "kept": kept, "nodes": total}

    def _tickets_of(self, groups: frozenset[str], *, left: bool) -> dict[str, list[str]]:
        """Return which groups' tickets a withdraw ended, of those that give any here, or had to leave alone."""
        with self._pump.lock:
            given = {ring.group for ring in self._pump.core.tickets.rings}
        return {"ended": [] if left else sorted(given & groups), "left": sorted(given) if left else []}

    def ticket_rings(self) -> list[dict[str, Any]]:
        """Return the rings of ticket keys that this node is in: keys by name and age, never by value."""
        with self._pump.lock:
            return self._pump.core.tickets.show(self._pump.clock())

    def rotate_tickets(self, vip: str) -> int:
        """Make the next ticket key of a VIP's ring now, for every node; returns its number. Raises PolicyError."""
        with self._pump.lock:
            try:
                number = self._pump.core.tickets.rotate(vip, self._pump.clock())
            except ValueError as error:
                raise PolicyError(str(error)) from None
        self._pump.wake()
        return number

    def explain_way(self, source: str, target: str) -> dict[str, Any]:
        """See `explanations.way`."""
        vips = self._holds.in_force.settings.vips
        return explanations.way(
            self._pump, source, target, frozenset(vip.name for vip in vips if vip.single_use != "off")
        )

    def explain_session(self, session: str) -> dict[str, Any]:
        """See `explanations.session`."""
        return explanations.session(self._pump, session)

    def clocks(self) -> dict[str, float]:
        """Return by how many seconds the other nodes' wall clocks are ahead of this one's,
        of those that answer in time.
        """
        return ask_clocks(self._pump, self._reachable())

    def figures(self) -> dict[str, Any]:
        """Return how clients resume on every node of the mesh that answers in time."""
        return ask_figures(self._pump, self._reachable())

    def records(self) -> list[tuple[NodeRecord, str]]:
        """Return every node that is known, with its state."""
        with self._pump.lock:
            return self._pump.core.records()

    def _checks(self) -> Checks:
        return Checks(self._file, self._holds, [record for record, _ in self.records()])

    def _origins(self) -> set[str]:
        with self._pump.lock:
            return self._pump.core.origins()

    def _change(self, vip: str, texts: Mapping[str, str], node_only: bool) -> _Done:
        since, before, was = self._pump.clock(), self._recalled(vip), self._version(vip)
        if node_only:
            self._set_own(vip, texts)
        else:
            self._set_live(vip, texts)
        kept = self._take_over()
        version, recalled = self._version(vip), self._recalled(vip) - before
        return _Done(vip, node_only, version, since, recalled, kept, version != was, dict(texts))

    def _version(self, vip: str) -> int:
        with self._pump.lock:
            return self._pump.core.live.version(VIP, vip).number

    def _set_own(self, vip: str, texts: Mapping[str, str]) -> None:
        """Change values of this node's own, numbered after all changes that any process of the server has kept.

        Raises PolicyError when there is no room; nothing has changed then.
        """
        values = {**self._node_only.get(vip, {}), **texts}
        node = {**self._node_only, vip: {key: text for key, text in values.items() if text}}
        node = {name: own for name, own in node.items() if own}
        known = [number for numbers in self._numbers.values() for number in numbers.values()]
        number = min(max(self._store.highest_number(), *known, 0) + 1, LIVE_NUMBER_MAX)
        numbers = {**self._numbers, vip: {**self._numbers.get(vip, {}), **dict.fromkeys(texts, number)}}
        kept = bounded(Kept([], node, numbers), concerns(self._file))
        for name in sorted(name for name, own in node.items() if kept.node.get(name) != own):
            raise PolicyError(
                f"a node keeps values of its own of {VIPS_MAX} VIPs, {KEYS_MAX} of each, and has as many; take back "
                f"those that it has for another: `meshcache policy unset {name} --node-only`"
            )
        self._node_only, self._numbers = kept.node, kept.numbers

    def _with_totals(self, done: _Done) -> dict[str, Any]:
        result = {
            "vip": done.vip,
            "node_only": done.node_only,
            "version": done.version,
            "changed": done.changed,
            "kept": done.kept,
            "notes": self._notes(done),
        }
        if done.node_only:
            return result | {
                "recalled": {"here": done.recalled, "mesh": done.recalled},
                "nodes": None,
                "superseded": {},
            }
        total = ask_policy(self._pump, self._reachable(done.vip), done.vip, done.changed, done.since)
        self._add_unaware(total, done)
        recalled = {"here": done.recalled, "mesh": total["sessions"] if done.news else done.recalled}
        return result | {"recalled": recalled, "nodes": total, "superseded": self._superseded(done)}

    def _notes(self, done: _Done) -> list[str]:
        """Return what `check` would say of few copies in the file, where they were changed."""
        vip = self._holds.in_force.settings.vip(done.vip)
        few = vip is not None and vip.copies_told and not done.changed.keys().isdisjoint(OF_VIP)
        return list(vip_notes(vip)) if few and vip is not None else []

    def _add_unaware(self, total: dict[str, Any], done: _Done) -> None:
        """Name nodes of an earlier version that have what is new to them, and on which it holds nothing."""
        with self._pump.lock:
            version = self._pump.core.live.version(VIP, done.vip)
        named = {each["name"] for each in total["differ"]} | set(total["missing"])
        found = older_nodes(done.vip, version, done.changed, (record for record, _ in self.records()))
        found = [each for each in found if each["name"] not in named]
        total["differ"] = sorted([*total["differ"], *found], key=lambda each: str(each["name"]))
        total["have"] -= len(found)

    def _superseded(self, done: _Done) -> dict[str, dict[str, Any]]:
        """Return the keys for which another operator's value is in force by now,
        with it and the node where it was set.
        """
        with self._pump.lock:
            entries = self._pump.core.live.entries()
        return {
            entry.key: {"value": entry.value, "author": entry.author}
            for entry in entries
            if (entry.scope, entry.name) == (VIP, done.vip) and done.changed.get(entry.key, entry.value) != entry.value
        }

    def _set_live(self, vip: str, texts: Mapping[str, str]) -> None:
        with self._pump.lock:
            live = self._pump.core.live
            now = {key: entry.value for key, entry in live.values(VIP, vip).items()}
            news = {key: text for key, text in texts.items() if now.get(key, "") != text}
            if news:
                try:
                    live.set(VIP, vip, news, self._pump.clock())
                except ValueError as error:
                    raise PolicyError(str(error)) from None
        self._pump.wake()

    def _issue(self, vip: str, group: str, origin: str, anew: list[str]) -> tuple[int, int, dict[str, int]]:
        """Withdraw, and begin a new epoch of these groups; both or nothing. Raises PolicyError."""
        with self._pump.lock:
            core, now = self._pump.core, self._pump.clock()
            if not core.live.has_room(GROUP, anew, [EPOCH]):
                raise PolicyError(
                    f"there is no room for a new epoch of {', '.join(anew[:5])}: no more than {ENTRIES_MAX} values can "
                    "be set in one mesh. Without --new-epoch sessions are withdrawn all the same; and a node makes "
                    "room for its own groups: ask one that serves it, with --group"
                )
            here = core.withdraw(now, vip=vip, group=group, origin=origin)
            number = core.withdraws.number
            core.live.set_each(GROUP, anew, {EPOCH: "new"}, now)
            epochs = {name: core.live.version(GROUP, name).number for name in anew}
        self._pump.wake()
        return here, number, epochs

    def _groups(self, vip: str, group: str) -> list[str]:
        if group:
            return [group]
        known = {(terms.vip, terms.group) for record, _ in self.records() for terms in record.vips}
        known |= {(each.name, each.group) for each in self._file.vips}
        return sorted({its_group for name, its_group in known if vip in ("", name)})

    def _reachable(self, vip: str = "") -> set[str]:
        """Return nodes that can be expected to answer: all that aren't lost, or those of them that serve a VIP."""
        return {
            record.node
            for record, state in self.records()
            if state != "lost" and (not vip or record.terms_of(vip) is not None)
        }

    def _recalled(self, vip: str) -> int:
        with self._pump.lock:
            return self._pump.core.recalled(vip)

    def _catch_up(self) -> None:
        with self._lock:
            self._take_over()

    def _take_over(self) -> bool:
        """Keep what is set now, which others have by now as well; says whether it could be kept. Then let it hold.
        Should that fail, it is tried again soon."""
        kept, holds = self._keep(), self._over(self._file)
        try:
            self._vips.apply(holds.in_force)
        except BaseException:
            self._debouncer.wake()
            raise
        self._hold(holds)
        return kept

    def _keep(self) -> bool:
        with self._pump.lock:
            entries = self._pump.core.live.entries()
        return self._store.keep(Kept(entries, self._node_only, self._numbers))

    def _tell_time(self) -> None:
        """Tell the core the wall clock in each step of the pump, which holds its lock:
        clocks are set while nodes run.
        """
        self._pump.core.queries.tell_time(time.time() - self._pump.clock())

    def _hold(self, holds: Overlay) -> None:
        """Take it for what holds, and log what can't hold here as it was set, once for as long as that is so."""
        self._holds = holds
        for fault in holds.faults:
            if fault not in self._faults:
                log.warning("%s", fault)
        self._faults = holds.faults
