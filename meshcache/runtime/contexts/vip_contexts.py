"""The contexts of one VIP, and a change of what they all are: made of one look at those that still exist.

A context ends on whichever thread lets go of it last, whatever lock another one holds. So what is there is looked at
once, and what has ended since is changed to no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from meshcache.core.values.topology import LocalVip
from meshcache.errors import AttachError
from meshcache.runtime.contexts.attaching import JoiningContext
from meshcache.runtime.vip_ports.session_ports import VipPort
from meshcache.tls.contexts import Attachment
from meshcache.tls.scopes import scopes_for
from meshcache.tls.state import Mode

PRUNE_AT = 64
"""Attachments of one VIP before those whose context is gone are looked for; then at twice what was left, so that a
server with a context for each connection pays for it once in many."""


@dataclass(slots=True)
class AttachedContext:
    attachment: Attachment
    joining: JoiningContext
    generation: int


@dataclass(slots=True)
class VipContexts:
    port: VipPort
    joining: JoiningContext
    """The newest; kept when its context is gone, since the VIP is served on, by contexts that are yet to come."""
    told: LocalVip | None = None
    attached: list[AttachedContext] = field(default_factory=list)
    prune_at: int = field(default_factory=lambda: PRUNE_AT)
    alike: bool = True
    """Whether all that are attached bind their sessions to the same: a reload may tell apart what it didn't before."""
    pauses: bool = False
    """Whether handshakes can be paused on all contexts that ever joined."""

    def live(self) -> list[AttachedContext]:
        """Return the attachments whose context still exists."""
        self.attached = [each for each in self.attached if each.attachment.attached]
        self.prune_at = max(PRUNE_AT, 2 * len(self.attached))
        return self.attached

    def add(self, attached: AttachedContext) -> None:
        if len(self.attached) >= self.prune_at:
            self.live()
        self.attached.append(attached)

    def change(self, become: Callable[[JoiningContext], JoiningContext]) -> VipChange:
        """Return the change by which each becomes what is said of it; nothing has changed yet."""
        each = [(context, context.joining, become(context.joining)) for context in self.live()]
        return VipChange(self, self.joining, become(self.joining), each)


@dataclass(frozen=True, slots=True)
class VipChange:
    """What all contexts of a VIP were, and what they become: each beside its own."""

    contexts: VipContexts
    former: JoiningContext
    joining: JoiningContext
    each: list[tuple[AttachedContext, JoiningContext, JoiningContext]]

    def check(self) -> None:
        """Raises AttachError where a context can't be what it is to become."""
        for _, _, joining in self.each:
            joining.check()

    def back(self) -> VipChange:
        """Return the change by which all are what they were before this one."""
        each = [(context, joining, former) for context, former, joining in self.each]
        return VipChange(self.contexts, self.joining, self.former, each)

    def make(self) -> None:
        """Let each become what it is to be; what has left its VIP meanwhile, or is gone, stays as it is."""
        self.contexts.joining = self.joining
        for context, _, joining in self.each:
            context.joining = joining
            vip, attachment = joining.vip, context.attachment
            attachment.scopes = scopes_for(joining.names, joining.digest)
            attachment.limit(int(vip.sharing.lifetime_s), vip.tickets, Mode(vip.resumption))
            attachment.note_setup()
        self.contexts.alike = len({joining.digest for joining in self._joinings()}) == 1

    def _joinings(self) -> Iterator[JoiningContext]:
        yield self.joining
        for _, _, joining in self.each:
            yield joining


def check_names(changes: Iterable[VipChange]) -> None:
    """Raises AttachError where a context that listens for others is to resume in another way than one of those.

    Connections keep whether there are tickets from the context that they came to: nobody would resume at the other's
    VIP. Those that differ already were refused as they joined, and the name leads to its context without the mesh.
    """
    each = {entry[0].attachment.pointer: entry for change in changes for entry in change.each}
    for context, former, joining in each.values():
        names = context.attachment.names
        for pointer in () if names is None else names.led_to():
            if pointer not in each:
                continue
            _, named_former, named = each[pointer]
            differed = former.vip.resumption != named_former.vip.resumption
            if named.vip.resumption != joining.vip.resumption and not differed:
                raise AttachError(
                    f"VIP {named.vip.name}: resumption would be {named.vip.resumption}, and that of VIP "
                    f"{joining.vip.name}, whose context listens for its names, {joining.vip.resumption}. Make them "
                    "equal, or listen with a context for each"
                )
