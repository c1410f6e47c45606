"""All hooks of one node: loads them, starts and ends them, and joins them to the pump and the core.

A policy that is named and can't be loaded keeps the node from starting; with the others it is a fault like any other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from meshcache.config import HooksSettings, Settings
from meshcache.config.crosschecks import ticket_faults
from meshcache.core.values.events import HookFaulted
from meshcache.edges import native
from meshcache.errors import ConfigError
from meshcache.hooks import Discovery, Hook, Observer, SharingPolicy, Tier
from meshcache.plugins.discoveries import DiscoveryRunner, OnHint
from meshcache.plugins.health import Health, Kind
from meshcache.plugins.loading import NotLoadedError, load_hook
from meshcache.plugins.observers import ObserverRunner
from meshcache.plugins.policy import OwnPolicies, PolicyRunner
from meshcache.plugins.shared_tiers import defines, shared_tier_faults
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.session_ports import MayResume

CLOSE_S = 1.0
"""How long the end of a node waits for each hook."""

FAULTS_WAITING_MAX = 256
"""Faults that wait to be told; there are few, since each kind is told once a minute."""

_NEVER = float("inf")

AnyHook = TypeVar("AnyHook", bound=Hook)
Named = list[tuple[AnyHook, str]]


class Runner(Protocol):
    """What runs one hook."""

    @property
    def health(self) -> Health: ...
    @property
    def hook(self) -> Hook: ...
    def close(self, within_s: float) -> None: ...


class Plugins:
    """Holds the hooks of one node. Without any it costs nothing: the core asks nobody."""

    def __init__(self, settings: HooksSettings, given: Sequence[Hook], stats: Callable[[], dict[str, Any]]) -> None:
        """Raises ConfigError for a policy that can't be loaded, and TypeError for what is no hook."""
        for hook in given:
            if not isinstance(hook, (SharingPolicy, Discovery, Observer, Tier)):
                raise TypeError(f"{type(hook).__name__} is no hook: make it of a class of meshcache.hooks")
        self._pump: Pump | None = None
        self._faults: deque[HookFaulted] = deque(maxlen=FAULTS_WAITING_MAX)
        self._changed = False
        self._rested = False
        """Whether a policy began to rest since it was last looked when that ends."""
        self._retry_at = _NEVER
        self._not_loaded: list[Health] = []
        policies = [*_of_kind(given, SharingPolicy), *_named_policies(settings)]
        discoveries = [*_of_kind(given, Discovery), *self._named(settings, Discovery, "discovery")]
        observers = [*_of_kind(given, Observer), *self._named(settings, Observer, "observer")]
        self._policies = [PolicyRunner(*each, self._tell, self._note_change) for each in policies]
        self._discoveries = [DiscoveryRunner(*each, self._tell) for each in discoveries]
        self._observers = [ObserverRunner(*each, self._tell, stats) for each in observers]
        self.policies = OwnPolicies(self._policies) if policies else None
        """What the core asks."""

    def check(self, settings: Settings) -> None:
        """Raises ConfigError where a policy couldn't hold that a program gave, or that the node runs with while its
        new file has none; with those of its file `config` is asked.
        """
        faults = [] if self.policies is None else list(ticket_faults(enumerate(settings.vips)))
        if faults:
            raise ConfigError(faults)

    def check_tiers(self, shared: Sequence[str]) -> None:
        """Raises ConfigError where a policy says what may be sent and there are tiers, named here, that others read."""
        senders = [policy.health.name for policy in self._policies if defines(policy.hook, "may_send")]
        if faults := shared_tier_faults(senders, shared):
            raise ConfigError(faults)

    @property
    def may_resume(self) -> MayResume | None:
        """What lookups ask; None where no policy wants to be asked at each."""
        return self.policies.may_resume if self.policies is not None and self.policies.asks_at_lookups else None

    def join(self, pump: Pump) -> None:
        """Let the core ask the policies from now on; before anything is attached."""
        self._pump = pump
        for policy in self._policies:
            policy.start()
        if self.policies is not None:
            pump.core.follow(self.policies, pump.clock())
        if not self.stats():
            return
        pump.call_in_each_step(self._do_chores)
        pump.call_before_sleep(lambda: self._retry_at)

    def start(self, node: str, colo: str, mesh: str, address: str, on_hint: OnHint) -> None:
        """Let discoveries look and observers see: the node runs."""
        for observer in self._observers:
            observer.start()
        for discovery in self._discoveries:
            discovery.start(node, colo, mesh, address, on_hint)

    def happened(self, events: list[dict[str, Any]]) -> None:
        """Tell the observers."""
        for observer in self._observers:
            observer.take(events)

    def close(self) -> None:
        """End them all: the node has ended."""
        for runner in self._runners():
            _end(runner)

    def stats(self) -> list[dict[str, Any]]:
        """Return each hook with its counters, as ``hooks`` in ``stats``."""
        return [health.to_plain() for health in (*(each.health for each in self._runners()), *self._not_loaded)]

    def _runners(self) -> Iterator[Runner]:
        yield from self._policies
        yield from self._discoveries
        yield from self._observers

    def _named(self, settings: HooksSettings, kind: type[AnyHook], word: Kind) -> Iterator[tuple[AnyHook, str]]:
        for name in settings.discoveries if word == "discovery" else settings.observers:
            try:
                yield load_hook(name, kind, settings.options_of(name)), name
            except NotLoadedError as error:
                health = Health(word, name, self._tell)
                health.fault("not_loaded", str(error))
                self._not_loaded.append(health)

    def _tell(self, fault: HookFaulted) -> None:
        """Let the pump tell of a fault: whoever met it may hold the core's lock, or be in a handshake."""
        self._faults.append(fault)
        self._wake()

    def _note_change(self, changed: bool) -> None:
        self._changed = self._changed or changed
        self._rested = self._rested or not changed
        self._wake()

    def _wake(self) -> None:
        if self._pump is not None:
            self._pump.wake()

    def _do_chores(self) -> None:
        """Tell of faults; have the core judge anew when answers have changed, or a policy may be asked again."""
        assert self._pump is not None, "it calls this"
        while self._faults:
            self._pump.core.note(self._faults.popleft())
        if self.policies is None:
            return
        now, rested = self._pump.clock(), self._rested
        self._rested = False
        is_over = rested and self.policies.retry_at() == _NEVER  # already, where this thread was held up
        if self._changed or is_over or self._retry_at <= now:
            self._changed = False
            self._pump.core.follow(self.policies, now)
        self._retry_at = self.policies.retry_at()


def _of_kind(given: Sequence[Hook], kind: type[AnyHook]) -> Iterator[tuple[AnyHook, str]]:
    return ((hook, "") for hook in given if isinstance(hook, kind))


def _named_policies(settings: HooksSettings) -> Named[SharingPolicy]:
    try:
        return [(load_hook(name, SharingPolicy, settings.options_of(name)), name) for name in settings.policies]
    except NotLoadedError as error:
        raise ConfigError([f"hooks.policies: {error}"]) from error


def _end(runner: Runner) -> None:
    """Tell a hook that the node ends, and wait for it no longer than `CLOSE_S`."""

    def close() -> None:
        try:
            runner.hook.close()
        except Exception as error:  # noqa: BLE001 - whatever a hook raises is its own fault
            runner.health.fault("raised", error)

    thread = native.thread(close, f"meshcache-hook-{runner.health.name}-close")
    thread.start()
    thread.join(CLOSE_S)
    runner.close(CLOSE_S)
