"""Joins tiers to a node: takes what leaves the core, seals it and hands it out; has what comes back judged by the core.

One thread of its own does all of that, apart from handshakes, the pump and the tiers' threads. Nothing here is written
or believed that isn't sealed.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import meshcache.hot as hot
from meshcache.config import CacheSettings
from meshcache.core.replication.leaving_sessions import LeavingSession, LeavingSessions, Records
from meshcache.core.values.events import HookFaulted
from meshcache.core.wire.tier_record import Border, TierRecord
from meshcache.edges import native
from meshcache.edges.keyring import Keyring
from meshcache.hooks import TierEntry
from meshcache.runtime.lookups.asking import Asking, Step
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.tracing import shown
from meshcache.tiers.errands import Retry, in_batches
from meshcache.tiers.kept_withdraws import KeptWithdraws
from meshcache.tiers.reads import TierReads
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.sealed_records import RefusedError, SealedRecords
from meshcache.tiers.sealing import Sealer, can_compile

CLOSE_S = 5.0
"""How long the end of a node waits for a tier to write what waits."""

_CHUNK = 64
"""Sessions that are taken with the core's lock held: a handshake waits 0.1 ms for it at most."""

_CHUNK_COMPILED = 256
"""The same where the compiled module copies them: 0.2 ms at most, where the caches are cold."""

_FEED_S = 0.02
"""Between two looks at what leaves, while something did."""

_FEED_IDLE_S = 0.1

SETTLED_S = 10.0
"""After so long without a change of what is served, what lies in a tier for nobody here is taken out."""

_YIELD = 16
"""Sessions that are opened before others may run."""

_YIELD_LOADING = 128
"""The same at a start, for a millisecond: on a busy machine each pause waits for its turn, and nobody is warm yet."""

_REVISE_PAUSE_S = 0.01
"""Between two batches that are looked at again: a million sessions take half a minute, and handshakes go on."""

_ENTRY_BYTES = 400
"""Of memory for the smallest session: more than fit aren't loaded."""

_FAULTS_MAX = 256


log = logging.getLogger("meshcache.mesh")


class NodeTiers:
    """Runs the tiers of one node. With none there is no thread, and nothing is noted."""

    def __init__(self, runners: Callable[[NodeTiers], Sequence[TierRunner]], mesh: str, node: str) -> None:
        self._mesh = mesh
        self._faults: deque[HookFaulted] = deque(maxlen=_FAULTS_MAX)
        self._pump: Pump | None = None
        self.runners = runners(self)
        self._records: SealedRecords
        self.reads: TierReads
        """What paused handshakes ask, once the node has started with a tier."""
        self._memory_records = SealedRecords(Sealer([secrets.token_bytes(32)], mesh))
        self._withdraws = KeptWithdraws(node)
        self._loaded: dict[TierRunner, set[Border]] = {runner: set() for runner in self.runners}
        """For which borders each has been read, or is being read just now; none before it is open."""
        self._load_retry = {runner: Retry() for runner in self.runners}
        self._revise_retry = {runner: Retry() for runner in self.runners}
        self._seen_revision: tuple[int, int] = (0, 0)
        self._changed_at = float("inf")
        self._to_revise: set[TierRunner] = set()
        self._room = 0
        self._skipped = self._removals_lost = 0
        self._closing = False
        self._new_records: Callable[[], Records] | None = None
        self._woken = native.Event()
        self._thread = native.thread(self._run, "meshcache-tiers")

    def start(self, pump: Pump, asking: Asking, keyring: Keyring, cache: CacheSettings) -> None:
        """Note what leaves memory from now on, and write it; let paused handshakes ask."""
        if not self.runners:
            return
        self.reads = TierReads(pump, self.runners)
        self._take_keys(keyring)
        if hot.compiled is not None and can_compile():
            self._new_records = hot.compiled.TierRecords
        self._room = min(cache.max_sessions, cache.max_bytes // _ENTRY_BYTES)
        self._pump = pump
        with pump.lock:
            pump.core.tiering.begin(
                everything=any(runner.hook.everything for runner in self.runners), new_records=self._new_records
            )
        asking.plug(Step.TIER, self.reads)
        pump.call_in_each_step(self._tell_faults)
        for runner in self.runners:
            runner.start()
        self._thread.start()

    def use(self, keyring: Keyring) -> None:
        """Seal with the current key of this keyring from now on, and again what an older one sealed."""
        if self.runners and self._pump is not None:
            self._take_keys(keyring)
            self._withdraws.store_again()
            self._changed_at = time.monotonic()

    def close(self) -> None:
        """Write all that is to be kept, and end. The core is quiet by now."""
        if self._pump is None:
            return
        self._closing = True
        self._woken.set()
        self._thread.join(CLOSE_S)
        for runner in self.runners:
            runner.close(CLOSE_S)

    def forked(self) -> None:
        """Let go, in a child process: its parent has the threads and the tiers."""
        for runner in self.runners:
            runner.forked()

    @property
    def shared(self) -> list[str]:
        """The names of those that other nodes may read."""
        return [runner.health.name for runner in self.runners if not runner.hook.private]

    @property
    def loaded(self) -> bool:
        """Whether all has come that a restart finds in its tiers, or none will."""
        if self._pump is None:
            return True
        with self._pump.lock:
            borders = set(self._pump.core.tiering.borders())
        return all(
            runner.settled and (not runner.is_open or borders <= self._loaded[runner])
            for runner in self.runners
            if runner.hook.everything
        )

    def stats(self) -> list[dict[str, Any]]:
        """Return ``tiers`` of ``stats``."""
        return [runner.to_plain() for runner in self.runners]

    def tell(self, fault: HookFaulted) -> None:
        """Let the pump tell of a fault: whoever met it may be in the middle of something."""
        self._faults.append(fault)
        if self._pump is not None:
            self._pump.wake()

    def opened(self, runner: TierRunner) -> None:
        """A tier can be used: before anything else, remember what was withdrawn. On its writing thread."""
        assert self._pump is not None, "it was started by `start`"
        self._withdraws.load(runner, self._records_of(runner), self._pump)

    def _take_keys(self, keyring: Keyring) -> None:
        self._records = SealedRecords.of(keyring, self._mesh)
        self.reads.use(self._records, self._memory_records)

    def _records_of(self, runner: TierRunner) -> SealedRecords:
        return self._memory_records if runner.memory_key else self._records

    def _tell_faults(self) -> None:
        assert self._pump is not None, "it calls this"
        while self._faults:
            self._pump.core.note(self._faults.popleft())

    # --- its thread

    def _run(self) -> None:
        while not self._closing:
            try:
                fed = self._feed()
                self._look()
            except Exception as error:  # noqa: BLE001 - the node goes on; the message could hold a secret
                log.error("a fault with the tiers, which go on; please report it: %s", shown(error))  # noqa: TRY400
                fed = False
            self._woken.wait(_FEED_S if fed else _FEED_IDLE_S)
        while self._feed():
            pass
        self._store_withdraws()

    def _feed(self) -> bool:
        """Hand out what has left memory or is new. Return whether there was anything."""
        pump, some = self._pump, False
        assert pump is not None, "it was started"
        tiering = pump.core.tiering
        while True:
            leaving, many = list[LeavingSession](), list[LeavingSessions]()
            with pump.lock:
                now, unix_now = pump.clock(), time.time()
                if self._new_records is None:
                    leaving = tiering.take(_CHUNK, now, unix_now)
                else:
                    many = tiering.take_many(_CHUNK_COMPILED, now, unix_now)
                gone = tiering.take_forgotten()
                waiting, skipped, lost = tiering.waiting, tiering.skipped, tiering.removals_lost
            self._count_left_out(skipped, lost)
            try:
                self._hand_out(leaving, many, gone)
            finally:
                for each in many:
                    each.records.wipe()
            some = some or bool(leaving or many)
            if not waiting:
                return some

    def _hand_out(
        self, leaving: Sequence[LeavingSession], many: Sequence[LeavingSessions], gone: Sequence[tuple[Border, bytes]]
    ) -> None:
        by_kind: dict[_Kind, list[LeavingSession]] = {}
        for each in leaving:
            by_kind.setdefault((each.evicted, each.stays), []).append(each)
        by_records: dict[SealedRecords, list[TierRunner]] = {}
        for runner in self.runners:
            by_records.setdefault(self._records_of(runner), []).append(runner)
        for records, runners in by_records.items():
            for together in many:
                takers = _takers(runners, (together.evicted, together.stays))
                _offer(takers, records.many(together) if takers else ())
            for kind, some in by_kind.items():
                takers = _takers(runners, kind)
                _offer(takers, records.entries(some) if takers else ())
            keys = [records.sealer.key_of(border, session_id) for border, session_id in gone]
            for runner in runners if keys else ():
                runner.remove(keys)

    def _count_left_out(self, skipped: int, removals_lost: int) -> None:
        for runner in self.runners:
            if skipped > self._skipped:
                runner.health.count("skipped", skipped - self._skipped)
            if removals_lost > self._removals_lost:
                runner.removals_lost(removals_lost - self._removals_lost)
        self._skipped, self._removals_lost = skipped, removals_lost

    def _look(self) -> None:
        """See to what follows from changes of VIPs, policies and withdraws."""
        pump, now = self._pump, time.monotonic()
        assert pump is not None, "it was started"
        with pump.lock:
            tiering = pump.core.tiering
            revision, borders, held = tiering.revision, set(tiering.borders()), tiering.held
        if revision != self._seen_revision:
            self._seen_revision, self._changed_at = revision, now
        if all(runner.is_open or runner.health.resting for runner in self.runners):
            for runner in self.runners:
                missing = borders - self._loaded[runner]
                if missing and runner.is_open and runner.hook.everything:
                    self._read_for(runner, missing, held)
        if self._store_withdraws():
            self._changed_at = now
        if now - self._changed_at >= SETTLED_S:
            self._changed_at = float("inf")
            self._to_revise.update(self.runners)
        for runner in [each for each in self._to_revise if not each.writes_errands]:  # one look at a time
            self._to_revise.discard(runner)
            runner.run(self._revise_retry[runner].of(self._revise(runner), self._revise_later))

    def _read_for(self, runner: TierRunner, borders: set[Border], held: int) -> None:
        """Have a tier read for these borders, which it hasn't been yet: at the start, once it opens, for a new VIP."""
        loaded = self._loaded[runner]
        # It may open hours after the start: what is here is younger then, and isn't to make room.
        entries_max = self._room if loaded else max(self._room - held, 0)
        loaded |= borders
        errand = self._load(runner, tuple(borders), entries_max)
        runner.run(self._load_retry[runner].of(errand, lambda: loaded.difference_update(borders)), reads=True)

    def _revise_later(self) -> None:
        self._changed_at = time.monotonic()

    def _store_withdraws(self) -> bool:
        pump = self._pump
        assert pump is not None, "it was started"
        known = self._withdraws.changed(pump)
        for runner in self.runners if known is not None else ():
            runner.keep(self._withdraws.entries(known or (), self._records_of(runner)))
        return known is not None

    # --- errands, on the tiers' writing threads

    def _load(self, runner: TierRunner, borders: Sequence[Border], entries_max: int) -> Iterator[None]:
        """Bring back what a tier has for these borders, of the newest so many."""
        pump = self._pump
        assert pump is not None, "it was started"
        for rows in in_batches(runner.hook.newest(entries_max)):
            found, loaded = self._read(runner, rows, borders), 0
            for start in range(0, len(found), _CHUNK):
                some = [record for _, _, _, record in found[start : start + _CHUNK]]
                with pump.lock:
                    before = pump.core.tiering.restored
                    pump.core.tiering.restore(
                        some, pump.clock(), time.time(), private=runner.hook.private, loading=True
                    )
                    loaded += pump.core.tiering.restored - before
            runner.health.count("loaded", loaded)
            yield
        pump.wake()

    def _revise(self, runner: TierRunner) -> Iterator[None]:
        """Look at all that a tier has: what nobody here can use goes, and what others may not read who read this tier;
        what an older key sealed is sealed anew.
        """
        pump = self._pump
        assert pump is not None, "it was started"
        records = self._records_of(runner)
        for rows in in_batches(runner.hook.newest(_ALL)):
            native.sleep(_REVISE_PAUSE_S)
            with pump.lock:
                borders = pump.core.tiering.borders()
                withdraws = len(pump.core.withdraws)
            if runner.hook.private and not withdraws:
                by_tag = records.by_tag(borders)
                rows = [row for row in rows if not records.is_fresh(row[1], by_tag)]
            found = self._read(runner, rows, borders, known_only=True)
            sessions = [record for _, _, _, record in found]
            with pump.lock:
                goes = set(pump.core.tiering.withdrawn(sessions, pump.clock(), time.time()))
                if not runner.hook.private:
                    goes.update(pump.core.tiering.staying(sessions))
            runner.remove([found[at][0] for at in goes])
            stale = [
                records.again(key, value, record, border)
                for at, (key, value, border, record) in enumerate(found)
                if at not in goes and not records.sealer.is_current(value)
            ]
            runner.offer(stale)
            yield

    def _read(
        self,
        runner: TierRunner,
        rows: Sequence[tuple[bytes, bytes]],
        borders: Sequence[Border],
        *,
        known_only: bool = False,
    ) -> list[tuple[bytes, bytes, Border, TierRecord]]:
        """Return the sessions among these values. What can't be one goes; with `known_only` also what is for a border
        that isn't served here: else it may be for a VIP that comes yet.
        """
        records, found, gone = self._records_of(runner), [], []
        by_tag, at_a_time = records.by_tag(borders), _YIELD if known_only else _YIELD_LOADING
        for at, (key, value) in enumerate(rows):
            if at % at_a_time == 0:
                native.sleep(0)  # as in `SealedRecords.entries`
            if runner.is_going(key):
                continue
            try:
                border = records.border_in(value, by_tag)
                reason = "border"
                if border is not None:
                    found.append((key, value, border, records.read(key, value, border)))
                if border is not None or not known_only or self._withdraws.is_place(records, key):
                    continue
            except RefusedError as error:
                reason = error.reason
            runner.health.count(f"refused_{reason}")
            gone.append(key)
        if gone:
            runner.remove(gone)
        return found


_ALL = 1 << 62

_Kind = tuple[bool, bool]
"""Of sessions that leave: whether memory has them no more, and whether they stay on this server."""


def _takers(runners: Sequence[TierRunner], kind: _Kind) -> list[TierRunner]:
    """Return the tiers that are given sessions of this kind: what others read gets nothing that stays here."""
    evicted, stays = kind
    return [each for each in runners if (evicted or each.hook.everything) and (each.hook.private or not stays)]


def _offer(runners: Sequence[TierRunner], entries: Sequence[TierEntry]) -> None:
    for runner in runners:
        runner.offer(entries)
