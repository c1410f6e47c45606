"""All exports of one node, each on a thread of its own: a reload that hangs keeps no other server from its keys.

Takes keys out of the core under its lock, derived for one kind of server, and tells of what was done by names alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from meshcache.config import ExportSettings, Settings, why_not_exported
from meshcache.core.values.events import Event, TicketExportFailed, TicketKeysExported
from meshcache.edges import native
from meshcache.errors import PolicyError
from meshcache.runtime.contexts.attached_vips import AttachedVips
from meshcache.runtime.pump.pump import Pump
from meshcache.ticket_files.export import Export, ExportResult, Keys
from meshcache.ticket_files.layouts import FORMATS, Rendered, Wanted, render, server_key
from meshcache.ticket_files.places import ExportPlace
from meshcache.ticket_files.telling import COMMAND_S, tell

LOOK_S: Final = 30.0
"""Between two looks at keys that nobody told of: one may end by time alone."""

CLOSE_S: Final = 1.0
"""How long the end of a node waits for each: a command that runs goes on without us."""

FORMER_S: Final = COMMAND_S + 5.0
"""How long a changed export waits for the former one of its path, whose command may still run: its files would be
taken for old ones, and its server could hear of the newer keys first."""

_FAULT_S: Final = 1.0

REACH: Final = "the keys never leave this node: its policy keeps them (reach, or a policy hook)"

log = logging.getLogger("meshcache.tickets")


def keys_for(pump: Pump, vip: str, server: str) -> Keys | None:
    """Return a VIP's keys as a kind of server has them; None where the VIP has no tickets here."""
    with pump.lock:
        found = pump.core.tickets.of_vip(vip, pump.clock())
        if found is None:
            return None
        if not found.ring.shared:
            return Keys(refused=REACH)
        opening = tuple(server_key(key, server) for key in found.opening)
        name = None if found.encrypting is None else found.encrypting.name
        return Keys(next((key for key in opening if key.key == name), None), opening)


class Exports:
    """One node's. `start` once, `reload` with changed settings, then `close`. Without exports it does nothing."""

    def __init__(self, settings: Settings, pump: Pump, vips: AttachedVips) -> None:
        self._settings = settings
        self._pump = pump
        self._vips = vips
        self._runners: list[_Runner] = []  # replaced and never changed: the pump's thread walks it
        self._ending: list[_Runner] = []
        self._version = -1

    def start(self) -> None:
        """Serve the VIPs whose keys are exported, and begin. Raises AttachError."""
        self._pump.call_after_each_step(self._look)
        self._run(self._settings)

    def reload(self, settings: Settings) -> None:
        """Take over other settings: what is as it was goes on."""
        wanted = settings.tickets.export
        for runner in [each for each in self._runners if each.settings not in wanted]:
            runner.close()
            self._runners = [each for each in self._runners if each is not runner]
            self._ending = [each for each in (*self._ending, runner) if each.runs]
            if all(runner.settings.path != each.path for each in wanted):
                log.warning("nobody changes the ticket keys in %s any more: delete them", runner.settings.path)
        self._settings = settings
        self._run(settings)

    def close(self) -> None:
        """End: the servers go on with the keys that they have."""
        for runner in self._runners:
            runner.close()

    @property
    def begun(self) -> bool:
        """Whether each server has got its keys once, or it is known why not."""
        return not self.without

    @property
    def without(self) -> list[str]:
        """The servers that have got no keys yet, and not because of a fault: VIP, kind and place of each."""
        waiting = [runner.export for runner in self._runners if not runner.export.begun]
        return [f"VIP {export.vip} ({export.server}, {export.path})" for export in waiting]

    def stats(self) -> list[dict[str, Any]]:
        """Return how each export fares; keys by name."""
        return [runner.export.shown(self._pump.clock()) for runner in self._runners]

    def give(self, vip: str, server: str, path: str, asker: str) -> Rendered:
        """Return a VIP's keys as they are now, for an operator to write to `path`. `asker` says who that is.

        Who asked, and for which keys, is told as an event. Raises PolicyError where they may not leave the process.
        """
        settings = self._settings.vip(vip)
        if settings is None:
            raise PolicyError(f'there is no VIP "{vip}"; there is {", ".join(v.name for v in self._settings.vips)}')
        if server not in FORMATS:
            raise PolicyError(f'there is no format "{server}"; there is {", ".join(FORMATS)}')
        why = why_not_exported(settings)
        if why is not None:
            raise PolicyError(f'VIP "{vip}" {why}')
        keys = keys_for(self._pump, vip, server) or Keys()
        if keys.refused or not keys.opening:
            raise PolicyError(f'VIP "{vip}": {keys.refused or "there is no key yet, or no context has joined it"}')
        rendered = render(server, Wanted(keys.encrypts, keys.opening), path)
        names = ", ".join(rendered.labels)
        self._note([TicketKeysExported(self._pump.clock(), vip, f"{asker}, for {server}", names)])
        return rendered

    def _note(self, events: Iterable[Event]) -> None:
        with self._pump.lock:
            for event in events:
                self._pump.core.note(event)
        self._pump.wake()

    def _run(self, settings: Settings) -> None:
        present = [runner.settings for runner in self._runners]
        for export in settings.tickets.export:
            vip = settings.vip(export.vip)
            if vip is not None and not vip.listen:
                self._vips.serve(export.vip)
            if export not in present:
                formers = [each for each in self._ending if each.settings.path == export.path]
                self._runners = [*self._runners, _Runner(export, self._pump, self._note, formers)]
                self._runners[-1].start()

    def _look(self) -> None:
        """On the pump's thread: the keys may have changed."""
        version = self._pump.core.tickets.version
        if version != self._version:
            self._version = version
            for runner in self._runners:
                runner.wake()


class _Runner:
    """One export and its thread; also the hands of it. Begins when `formers`, of the same path, have ended."""

    def __init__(
        self,
        settings: ExportSettings,
        pump: Pump,
        note: Callable[[list[Event]], None],
        formers: list[_Runner],
    ) -> None:
        self.settings = settings
        self._pump = pump
        self._note = note
        self._place = ExportPlace.of(settings)
        self._woken = native.Event()
        self._stopping = False
        self._formers = formers
        self.export = Export(settings.vip, settings.format, str(settings.path), settings.settle_s, self)
        self._thread = native.thread(self._run, "meshcache-tickets")

    @property
    def runs(self) -> bool:
        """Whether its thread isn't at its end yet."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._stopping = True
        self._woken.set()
        self._thread.join(CLOSE_S)

    def write(self, rendered: Rendered) -> None:
        self._place.write(rendered)

    def tell(self, rendered: Rendered) -> None:
        tell(self.settings, self._place.file, rendered)

    def tidy(self, rendered: Rendered) -> None:
        """Nothing where it has ended meanwhile: another node's export may have written there since."""
        if not self._stopping:
            self._place.tidy(rendered)

    def _run(self) -> None:
        self._wait_for_formers()
        while not self._stopping:
            self._woken.clear()
            try:
                due_at = self._step()
            except Exception as error:  # noqa: BLE001 - the server goes on; the message could hold a secret
                log.error("a fault in exporting ticket keys; please report it: %s", type(error).__name__)  # noqa: TRY400
                due_at = self._pump.clock() + _FAULT_S
            self._woken.wait(max(min(due_at - self._pump.clock(), LOOK_S), 0.0))

    def _wait_for_formers(self) -> None:
        until = self._pump.clock() + FORMER_S
        for former in self._formers:
            former._thread.join(max(until - self._pump.clock(), 0.0))  # noqa: SLF001 - one of its own kind
        self._formers = []

    def _step(self) -> float:
        keys = keys_for(self._pump, self.settings.vip, self.settings.format)
        if self._stopping:  # meanwhile: the core's lock may take a moment
            return self._pump.clock()
        outcome, due_at = self.export.step(keys or Keys(), self._pump.clock())
        events = list(self._events(outcome))
        if events:
            self._note(events)
        return due_at

    def _events(self, outcome: ExportResult) -> Iterable[Event]:
        now, to = self._pump.clock(), f"{self.settings.format} ({self.settings.path})"
        if outcome.fault:
            yield TicketExportFailed(now, self.settings.vip, to, outcome.fault)
        elif outcome.written is not None:
            names = ", ".join(outcome.written.labels) or "none that others have"
            yield TicketKeysExported(now, self.settings.vip, to, names)
