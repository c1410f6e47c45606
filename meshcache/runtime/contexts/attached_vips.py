"""The VIPs that this process serves: their ports, the contexts attached to each, and what the core was told of them.

Changes when a context joins or the settings are reloaded, never in a handshake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from meshcache.config import Settings
from meshcache.core.policy.gates import Terms
from meshcache.core.values.topology import VipNote
from meshcache.edges import native
from meshcache.edges.keyring import Keyring
from meshcache.errors import AttachError
from meshcache.runtime.contexts.attaching import InForce, JoiningContext, vip_settings, warn_of_few_copies, with_waits
from meshcache.runtime.contexts.drift_watch import DriftWatch
from meshcache.runtime.contexts.guessed_facts import guessed_facts
from meshcache.runtime.contexts.vip_contexts import AttachedContext, VipChange, VipContexts, check_names
from meshcache.runtime.lookups.asking import Asking, Step
from meshcache.runtime.lookups.awaiting import Awaiter
from meshcache.runtime.lookups.fetching import Fetcher
from meshcache.runtime.pump.pump import Pump
from meshcache.runtime.vip_ports.origin_tokens import Tokens
from meshcache.runtime.vip_ports.ports import Ports
from meshcache.runtime.vip_ports.session_ports import MayResume, VipPort
from meshcache.tls.contexts import Attachment, OnUncleanClose, attach_context, attachment_of
from meshcache.tls.facts import read_facts
from meshcache.tls.names import NameMap, has_ours
from meshcache.tls.scopes import scopes_for
from meshcache.tls.state import Mode


class AttachedVips:
    """The VIPs of one node. Threads may share it."""

    def __init__(
        self,
        settings: Settings,
        pump: Pump,
        tokens: Tokens,
        ports: Ports,
        may_resume: MayResume | None = None,
    ) -> None:
        """`ports` are those that the pump and its core were made with. Where they have no `ids`, those of sessions are
        random, and any may be one of ours.
        """
        self._may_resume = may_resume
        self.ports = ports
        """Those of the VIPs that are served, as core and pump see them."""
        self.ids = ports.ids
        """By which the ids of sessions are made and read."""
        self._in_force = InForce(settings)
        self._pump = pump
        self._tokens = tokens
        self._served: dict[str, VipContexts] = {}
        self._generation = 0
        self._lock = native.RLock()
        self._drift = DriftWatch(pump.clock())
        self.asking = Asking(pump)
        """Who is asked for what isn't in memory."""
        if self.ids is not None:
            self.asking.plug(Step.AWAIT, Awaiter(pump, self.asking, self.ids))
            self.asking.plug(Step.FETCH, Fetcher(pump, self.asking, self.ids))
        self.bind()
        pump.call_in_each_step(self._do_chores)

    def __contains__(self, name: object) -> bool:
        return name in self._served

    def contexts(self, name: str) -> int:
        """Return how many contexts of a VIP are remembered, those included that are gone and not yet looked for."""
        return len(self._served[name].attached)

    def attach(
        self,
        context: object,
        name: str,
        on_unclean_close: OnUncleanClose = "keep",
        pauses: bool = False,
        names: NameMap | None = None,
    ) -> None:
        """Let a context join a VIP, with those that it stands for in `names`. Raises AttachError or HookError; the
        context is as it was then.
        """
        with self._lock:
            self._refuse_anothers(context)
            facts = read_facts(context)
            if names is not None and has_ours(context):  # given names before
                facts = replace(facts, sni_callback=False)
            joining = self._in_force.joining(name, facts)
            joining.check()
            for other in self._attached_since_reload():
                joining.check_beside(other)
            served = self._served.get(name) or self._new(joining)
            if not served.attached:
                warn_of_few_copies(joining.vip, pauses=pauses)
            attachment = attach_context(
                context,
                served.port,
                scopes_for(joining.names, joining.digest),
                on_unclean_close=on_unclean_close,
                lifetime_s=int(joining.vip.sharing.lifetime_s),
                tickets=joining.vip.tickets,
                mode=Mode(joining.vip.resumption),
                pauses=pauses,
                names=names,
            )
            paused_before = served.pauses
            served.pauses = pauses and (paused_before or not served.attached)
            try:
                self._tell(served, joining)
            except AttachError:
                served.pauses = paused_before
                attachment.detach()
                raise
            self._supersede(served, joining)
            served.joining = joining
            served.add(AttachedContext(attachment, joining, self._generation))
            self._serve(name, served)
            served.port.forget_ticket_keys()  # those that came before any change of them is told here

    def attach_as_before(self, context: object, former: Attachment) -> None:
        """Let a context that joined here be what it was before that again. Raises as `attach`."""
        with self._lock:
            if self.port(former.port.name) is former.port:
                self.attach(context, former.port.name, former.on_unclean_close, former.pauses, former.names)
            else:  # of a node that was closed
                self.detach(context)

    def resumption_of(self, name: str) -> str:
        """Return how clients of a VIP resume, by the settings in force. Raises AttachError for one that isn't there."""
        return vip_settings(self._in_force.settings, name).resumption

    def port(self, name: str) -> VipPort | None:
        """Return what contexts of a VIP file sessions through; None where no context joined it yet."""
        served = self._served.get(name)
        return None if served is None else served.port

    def serve(self, name: str) -> bool:
        """Serve a VIP before a context joins it, by what its contexts will likely be: sessions come from now on.

        Returns false where that can't be guessed, or a context has joined already. Raises AttachError for an unknown
        name.
        """
        with self._lock:
            facts = guessed_facts(vip_settings(self._in_force.settings, name))
            if facts is None or name in self._served:
                return False
            joining = self._in_force.joining(name, facts)
            served = self._new(joining)
            self._tell(served, joining)
            self._serve(name, served)
            served.port.forget_ticket_keys()  # those that came before any change of them is told here
        return True

    def serve_the_only_one(self) -> None:
        """Serve the VIP of a file that has one; of several, this process may be for some."""
        if len(self._in_force.settings.vips) == 1:
            self.serve(self._in_force.settings.vips[0].name)

    def detach(self, context: object) -> bool:
        """Let a context leave the VIP that it joined here. Return false when it is in none. The VIP is served on."""
        attachment = attachment_of(context)
        with self._lock:
            ours = (each.attachment for served in self._served.values() for each in served.attached)
            if attachment is None or all(attachment is not each for each in ours):
                return False
            attachment.detach()
        return True

    def reload(self, in_force: InForce) -> None:
        """Take over changed settings. Raises AttachError, and nothing changed then. VIPs that are gone from them are
        served until `end_the_gone`.

        Contexts that are attached after this may differ from those that were attached before, which they replace.
        """
        with self._lock:
            self._take_over(in_force)
            self._generation += 1

    def put_back(self, in_force: InForce) -> None:
        """Take over the settings from before the last reload; contexts that were attached since leave, and VIPs that
        aren't in these settings are served no longer. What holds then is never a reach of the settings that are taken
        back, whatever becomes of the contexts.
        """
        with self._lock:
            for served in self._served.values():
                for each in served.attached:
                    if each.generation == self._generation:
                        each.attachment.detach()
                left = served.live()
                served.joining = left[-1].joining if left else served.joining
            self._generation -= 1
            self._end_all_but(in_force.settings)  # first: whatever can't be taken over, these are none of the file's
            self._take_over(in_force, checked=True)

    def end_the_gone(self) -> None:
        """Serve no longer what is gone from the settings."""
        with self._lock:
            self._end_all_but(self._in_force.settings)

    def apply(self, in_force: InForce) -> None:
        """Take over what was set live: the same VIPs and contexts, in other policies and epochs."""
        with self._lock:
            self._take_over(in_force)

    def faults(self) -> dict[str, dict[str, int]]:
        """Return exceptions at the TLS edge by VIP and callback; each was a miss."""
        return {name: dict(served.port.faults) for name, served in list(self._served.items()) if served.port.faults}

    def close(self) -> None:
        """Let every context leave its VIP: handshakes go on, in full."""
        with self._lock:
            with self._pump.lock:
                self.ports.settle()  # what was made a moment ago is published before the end
                for port in self.ports:
                    port.take_removed()  # and what was dropped isn't given to the next life
            for served in self._served.values():
                served.port.close()
                for each in served.live():
                    each.attachment.detach()

    def forked(self, why: str) -> None:
        """Find and keep nothing from now on, in a child process. Takes no lock, since the parent may have held it."""
        for served in list(self._served.values()):
            served.port.close(why)

    def _new(self, joining: JoiningContext) -> VipContexts:
        port = VipPort(joining.vip, self._pump, self._tokens, self._may_resume, self.ids, self.asking)
        return VipContexts(port, joining)

    def _serve(self, name: str, served: VipContexts) -> None:
        if name not in self._served:
            self._served[name] = served
            self.ports.add(served.port)

    def _refuse_anothers(self, context: object) -> None:
        """Raises AttachError for a context that another node of this process serves: whose it is must be said."""
        former = attachment_of(context)
        port = None if former is None else former.port
        if isinstance(port, VipPort) and port.is_open and not port.belongs_to(self._pump):
            raise AttachError(
                f"the context serves VIP {port.name!r} of another node in this process, {port.node}: let it leave "
                "there first, with that node's detach"
            )

    def _take_over(self, in_force: InForce, *, checked: bool = False) -> None:
        kept = {vip.name for vip in in_force.settings.vips}
        changes = [
            served.change(lambda former: in_force.joining(former.vip.name, former.facts))
            for name, served in self._served.items()
            if name in kept
        ]
        if not checked:
            for change in changes:
                change.check()
            check_names(changes)
        before, self._in_force = self._in_force, in_force
        try:
            for change in changes:
                self._make(change)
        except BaseException:
            self._in_force = before
            for change in changes:
                self._make(change.back())
            raise
        self.asking.refresh()

    def _attached_since_reload(self) -> Iterator[JoiningContext]:
        """One attachment of each VIP will do: those of one VIP agree."""
        for served in self._served.values():
            for each in reversed(served.attached):
                if each.generation == self._generation and each.attachment.attached:
                    yield each.joining
                    break

    def _tell(self, served: VipContexts, joining: JoiningContext) -> None:
        note = self._in_force.notes.get(joining.vip.name, VipNote())
        if served.pauses and self.ids is not None:
            note = with_waits(note, joining.vip)
        local = joining.local_vip(self._in_force.settings, note)
        if local == served.told:
            return
        moved = served.told is not None and _border(served.told.terms) != _border(local.terms)
        try:
            with self._pump.lock:
                ports = list(dict.fromkeys((*self.ports, served.port)))
                for port in ports:
                    port.take_made()
                self._pump.core.set_vip(local, self._pump.clock())
                for port in ports:
                    port.bind(anew=port is served.port and moved)
        except ValueError as error:
            raise AttachError(f"VIP {joining.vip.name}: {error}") from None
        served.told = local
        self._pump.wake()

    def _supersede(self, served: VipContexts, joining: JoiningContext) -> None:
        """End earlier attachments that bind their sessions to something else: those would be found and not resume."""
        digest = joining.digest
        if served.alike and digest == served.joining.digest:
            return  # without a look at each: there may be thousands
        for each in served.attached:
            if each.joining.digest != digest:
                each.attachment.detach()
        served.alike = True

    def _make(self, change: VipChange) -> None:
        served, vip = change.contexts, change.joining.vip
        if served.attached and vip.copies != served.joining.vip.copies:
            warn_of_few_copies(vip, pauses=served.pauses)
        change.make()
        served.port.configure(vip)
        self.asking.configure(vip)
        self._tell(served, change.joining)

    def _end_all_but(self, settings: Settings) -> None:
        for name in set(self._served) - {vip.name for vip in settings.vips}:
            self._end(name)

    def _end(self, name: str) -> None:
        served = self._served.pop(name)
        self.ports.remove(served.port)
        self.asking.leave(name)
        served.port.close()
        for each in served.live():
            each.attachment.detach()
        with self._pump.lock:
            self._pump.core.remove_vip(name, self._pump.clock())
            for port in self.ports:
                port.bind()
        self._pump.wake()

    def bind(self) -> None:
        """Let the doors see the streams that the core files into now, and ids be made in the name of its life."""
        with self._pump.lock:
            if self.ids is not None:
                self.ids.live_as(self._pump.core.identity.incarnation)
            for port in self.ports:
                port.bind()

    def use(self, keyring: Keyring) -> None:
        """Make and read ids under other keys."""
        if self.ids is not None:
            self.ids.use(keyring)
        self.bind()

    def _do_chores(self) -> None:
        now = self._pump.clock()
        for port in self.ports:
            port.take_removed()
            if port.door is None:
                continue
            if port.deadline() <= now:
                port.publish_due()
            port.settle()
        served = list(self._served.items())
        for event in self._drift.look(((n, [each.attachment for each in s.attached]) for n, s in served), now):
            self._pump.core.note(event)

    def contexts_changed(self) -> dict[str, dict[str, int]]:
        """Return how many contexts were changed after they had joined, by VIP and setting."""
        return {name: dict(counts) for name, counts in list(self._drift.counts.items())}


def _border(terms: Terms) -> tuple[str, bytes]:
    """Return what a session is bound to: under another it resumes nowhere, and nobody may have it."""
    return terms.group, terms.digest
