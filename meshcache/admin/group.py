"""One admin interface for several workers of a server: asks each at its own socket, and answers for all of them.

What is read is added up (`merging`). What changes something goes to one worker where the mesh spreads it anyway, and to
each where it is the node's own. Only what a worker refuses is told as refused: nothing changed then. Holds no node and
no session.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from meshcache.admin.client import RELOAD_S, AdminClient
from meshcache.admin.merging import Plain, merged_peers, merged_stats, unheard
from meshcache.admin.server import AdminServer
from meshcache.admin.worker_counters import WorkerCounters
from meshcache.admin.worker_questions import Answer, WorkerQuestions, answered, asked_at
from meshcache.config import Settings
from meshcache.edges import native
from meshcache.errors import MeshcacheError, NodeAbsentError, PolicyError
from meshcache.runtime.event_log import KEPT_MAX
from meshcache.runtime.front import Front
from meshcache.ticket_files.layouts import Rendered

ASKING_MAX = 64
"""Workers that are asked at one time: as many as there may be, so that none waits for a stuck one."""

STATS_AGE_S = 0.2
"""How old numbers may be: a page that is watched by many, or scraped often, asks each worker no more often. None is
older than what was changed here since."""

LIVES_MAX = 256
"""Lives of workers of which is remembered up to where their events were told: those that answered last."""

NOBODY = "no worker answers: they are starting, or ending; the server's log says more"


class AdminGroup:
    """The admin interface of a group of workers. `start` once, then `close`.

    Looks like a node to whoever asks: the command line, Prometheus, the dashboard. Each question may take a worker's
    time; on `admin.server`'s loop nobody asks one.
    """

    asks_others: Final = True

    def __init__(self, settings: Settings, sockets: Callable[[], Sequence[Path]], node: Callable[[], Plain]) -> None:
        """`sockets` are those of the workers that live, `node` is what the group is called and how it is."""
        self.front = Front()
        """How the group reloads is told here; what it tells of itself comes from its workers."""
        self._sockets = sockets
        self._node = node
        self._server = AdminServer(self, settings.admin)
        self._pool = ThreadPoolExecutor(ASKING_MAX, "meshcache-group")
        # Apart: a change waits for a stuck worker until its end, and no question is to wait with it for a thread.
        self._changing = ThreadPoolExecutor(ASKING_MAX, "meshcache-group-changes")
        self._questions = WorkerQuestions(sockets, self._pool)
        self._lock = native.Lock()  # around events, and never held while a worker is asked
        self._asking = native.Lock()  # held by the one who asks for numbers; nothing else waits for it
        self._counters = WorkerCounters()
        self._events: deque[Plain] = deque(maxlen=KEPT_MAX)
        self._count = 0
        self._seen: dict[str, int] = {}
        self._stats: tuple[float, Plain] | None = None
        self._changed_at = 0.0
        self.policies = _Policies(self)
        self.ticket_exports = _NoKeys(sockets)

    def start(self) -> Self:
        """Answer from now on. Raises ConfigError where a socket or a port can't be had."""
        self._server.start()
        return self

    def close(self) -> None:
        """Answer no more."""
        self._server.close()
        for pool in (self._pool, self._changing):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def http_address(self) -> str | None:
        """Where the HTTP port really is, ``host:port``; None without one."""
        return self._server.http_address

    # --- what a node is asked

    def stats(self) -> Plain:
        """Return the sum of the workers' `stats`, in which no counter is less than it was.

        Raises MeshcacheError while none answers.
        """
        came_at = time.monotonic()
        with self._asking:
            # Those who came while others were answered slowly share the next answer: not one each, one after the other.
            if self._stats is None or self._stats[0] <= max(came_at - STATS_AGE_S, self._changed_at):
                began_at = time.monotonic()
                self._stats = began_at, self._sum()
            merged = self._stats[1]
        # The group knows itself how its last reload ended: that is never a moment old.
        reload = (self.front.stats() or {}).get("reload")
        return merged | {"front": (merged.get("front") or {}) | {"reload": reload}}

    def _sum(self) -> Plain:
        outcomes = self._questions.outcomes(_life_of)
        answers = answered(outcomes)
        if not answers:
            raise MeshcacheError(NOBODY)
        self._counters.take(answers)
        silent = [
            path for path, why in outcomes.items() if path not in answers and not isinstance(why, NodeAbsentError)
        ]
        late = [self._counters.last(path) or unheard(path.parent.name) for path in silent]
        each = [stats for _, stats in answers.values()]
        total = merged_stats(each, self._node(), late=late, names=self._counters.names)
        return self._counters.complete(total, answers)

    def peers(self) -> list[Plain]:
        """Return the nodes outside of the group, as the worker sees each that hears it best."""
        flaps = {peer["name"]: peer["flaps"] for peer in self.stats()["peers"]}
        found = merged_peers(self.ask_each(AdminClient.peers), self._counters.names)
        return [{**peer, "flaps": max(peer["flaps"], flaps.get(peer["name"], 0))} for peer in found]

    def policy(self) -> list[Plain]:
        """Return what one of the workers says: the mesh makes it the same on all."""
        return self.read_one(AdminClient.policy)

    def events(self, since: int = 0) -> list[Plain]:
        """Return events of all workers with a higher number than `since`, numbered anew, each with its ``worker``."""
        answers = self._fresh_events()
        with self._lock:
            self._note(answers)
            return [event for event in self._events if event["seq"] > since]

    def _fresh_events(self) -> list[tuple[str, list[Plain]]]:
        """Ask each worker for what isn't noted yet; others may be asking the same."""
        with self._lock:
            seen = dict(self._seen)

        def fresh(client: AdminClient) -> tuple[str, list[Plain]]:
            stats = client.stats()["node"]
            life = _life(stats["name"], client.process_id(), seen)
            ahead_s = self._node()["uptime_s"] - stats["uptime_s"]
            events = client.events(seen.get(life, 0))
            return life, [{**event, "at_s": round(event["at_s"] + ahead_s, 3)} for event in events]

        return self.ask_each(fresh)

    def _note(self, answers: list[tuple[str, list[Plain]]]) -> None:
        """Number what is new; a worker that didn't answer this time isn't a new one the next time."""
        for life, _ in answers:
            self._seen[life] = self._seen.pop(life, 0)
        while len(self._seen) > max(LIVES_MAX, len(answers)):
            del self._seen[next(iter(self._seen))]
        found = [(life, event) for life, events in answers for event in events if event["seq"] > self._seen[life]]
        for life, event in sorted(found, key=lambda pair: float(pair[1]["at_s"])):
            self._seen[life] = max(self._seen[life], event["seq"])
            self._count += 1
            self._events.append({**event, "seq": self._count, "worker": life.partition(" ")[0]})

    # --- asking the workers

    def changed(self) -> None:
        """Something was changed, or was perhaps, in part: whoever asks from now on is told no numbers of before."""
        self._changed_at = time.monotonic()

    def ask_each(self, question: Callable[[AdminClient], Answer]) -> list[Answer]:
        """Ask every worker at once; one that has just gone is left out, and one that is stuck. Raises MeshcacheError
        where none answers.
        """
        found = self._questions.ask_each(question)
        if not found:
            raise MeshcacheError(NOBODY)
        return list(found.values())

    def read_one(self, question: Callable[[AdminClient], Answer]) -> Answer:
        """Ask a worker for what all would answer alike, and the next where it doesn't. Raises as `ask_one` does."""
        try:
            return self._questions.ask_one(question)
        except NodeAbsentError:
            raise MeshcacheError(NOBODY) from None

    def ask_one(self, question: Callable[[AdminClient], Answer]) -> Answer:
        """Ask a worker, and the next where one has just gone. Raises PolicyError with what it says against it,
        AdminError where it fails, so that a change was made or not, and MeshcacheError where none answers.
        """
        for path in self._questions.in_turn:
            with suppress(NodeAbsentError):
                return question(AdminClient(path))
        raise MeshcacheError(NOBODY)

    def change_each(self, change: Callable[[AdminClient], Plain]) -> Plain:
        """Have every worker make a change that is a node's own, and return what the first says. One that has just gone
        reads what the others keep when it starts.

        Raises PolicyError where all refuse, MeshcacheError where none answers, and where some did it and others not, or
        nobody knows: it names those.
        """
        paths = self._sockets()
        answers = list(self._changing.map(lambda path: asked_at(path, change), paths))
        done = [answer for answer in answers if not isinstance(answer, MeshcacheError)]
        failed = [
            (path.parent.name, answer)
            for path, answer in zip(paths, answers, strict=True)
            if isinstance(answer, MeshcacheError) and not isinstance(answer, NodeAbsentError)
        ]
        if not done and not failed:
            raise MeshcacheError(NOBODY)
        if not done and all(isinstance(error, PolicyError) for _, error in failed):
            raise failed[0][1]
        if failed:
            others = "; ".join(f"{name}: {error}" for name, error in failed)
            raise MeshcacheError(
                f"done on {len(done)} of {len(done) + len(failed)} workers, and perhaps not on {others}"
            )
        return done[0]

    def reload_each(self, serving: Collection[int]) -> tuple[Plain, set[int]]:
        """Let the workers take their file again, one after the other; the first that can't ends it, so that a bad
        file changes at most what the others refuse too. Return what the first says, or the one that refuses, and which
        processes have taken it.

        Only those of `serving` are asked: one that starts would let the others wait. Raises MeshcacheError where none
        answers.
        """
        result: Plain = {}
        taken: set[int] = set()
        try:
            for path in self._sockets():
                client = AdminClient(path)
                process = client.process_id()
                if process is not None and process in serving:
                    with suppress(NodeAbsentError):
                        answer = client.ask("POST", "/v1/reload", b"{}", timeout_s=RELOAD_S)
                        if not answer.get("ok"):
                            return answer, taken
                        result = result or answer
                        taken.add(process)
        finally:
            self.changed()
        if not result:
            raise MeshcacheError(NOBODY)
        return result, taken


class _NoKeys:
    """What `admin.key_giving` asks of a node that has ticket keys: this process has none, and is given none."""

    def __init__(self, sockets: Callable[[], Sequence[Path]]) -> None:
        self._sockets = sockets

    def give(self, _vip: str, _server: str, _path: str, _asker: str) -> Rendered:
        """Raise PolicyError, which names a worker's socket to ask at."""
        where = next((str(path) for path in self._sockets()), "STATE_DIR/worker-0/admin.sock")
        raise PolicyError(f"a server with workers gives ticket keys at a worker's own socket: --socket {where}")


class _Policies:
    """What `admin.control` asks of a node's policies, asked of the workers."""

    def __init__(self, group: AdminGroup) -> None:
        self._group = group

    def set_policy(self, vip: str, values: dict[str, str], *, node_only: bool = False) -> Plain:
        return self._change(lambda client: client.set_policy(vip, values, node_only=node_only), each=node_only)

    def unset_policy(self, vip: str, keys: list[str], *, node_only: bool = False) -> Plain:
        return self._change(lambda client: client.unset_policy(vip, keys, node_only=node_only), each=node_only)

    def withdraw(self, **what: Any) -> Plain:
        asked = {"all" if key == "everything" else key: value for key, value in what.items()}
        return self._change(lambda client: client.withdraw(**asked))

    def explain_way(self, source: str, target: str) -> Plain:
        return self._group.read_one(lambda client: client.explain(**{"from": source, "to": target}))

    def explain_session(self, session: str) -> Plain:
        return self._group.read_one(lambda client: client.explain(session=session))

    def ticket_rings(self) -> list[Plain]:
        return self._group.read_one(AdminClient.tickets)

    def rotate_tickets(self, vip: str) -> int:
        return int(self._change(lambda client: client.rotate_tickets(vip))["generation"])

    def clocks(self) -> dict[str, float]:
        return self._group.read_one(AdminClient.clocks)

    def figures(self) -> Plain:
        return self._group.read_one(AdminClient.mesh)

    def _change(self, change: Callable[[AdminClient], Plain], *, each: bool = False) -> Plain:
        """Ask one for a change, or each for what is a node's own: numbers of before it are forgotten."""
        try:
            return self._group.change_each(change) if each else self._group.ask_one(change)
        finally:
            self._group.changed()


def _life(name: str, process: int | None, known: Collection[str]) -> str:
    """Return what a worker's events are counted by: whoever takes a dead one's place counts anew. Where its process
    can't be had just now it is the one heard last; events of another are told at the next look then.
    """
    before = () if process is not None else [life for life in known if life.partition(" ")[0] == name]
    return before[-1] if before else f"{name} {process}"


def _life_of(client: AdminClient) -> tuple[int | None, Plain]:
    return client.process_id(), client.stats()
