"""Looks at attached contexts now and then, and says once for each VIP and setting what was changed on them since.

A context that has got an SNI callback leaves its VIP: OpenSSL would resume past what the callback asks of clients.
Called with the core's lock held; takes no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from meshcache.core.values.events import ContextChanged
from meshcache.tls.contexts import Attachment
from meshcache.tls.drift import changed

EVERY_S = 5.0
"""Between two looks."""

CONTEXTS_MAX = 64
"""Looked at each time, the newest of a VIP: a server with a context for each connection sets up all alike."""

SNI_CALLBACK = "sni_callback"


class DriftWatch:
    """Counts, for one node, the settings of attached contexts that a program changed after they had joined."""

    def __init__(self, now: float) -> None:
        self._due_at = now + EVERY_S
        self.counts: dict[str, Counter[str]] = {}
        """Contexts that were changed, by VIP and setting."""

    def look(self, attached: Iterable[tuple[str, list[Attachment]]], now: float) -> list[ContextChanged]:
        """Return what is worth telling: the first change of each setting of a VIP. Nothing before it is due."""
        if now < self._due_at:
            return []
        self._due_at = now + EVERY_S
        told = []
        for vip, attachments in attached:
            for attachment in attachments[-CONTEXTS_MAX:]:
                told += [ContextChanged(now, vip, name) for name in self._of_one(vip, attachment)]
        return told

    def _of_one(self, vip: str, attachment: Attachment) -> list[str]:
        before, now = attachment.setup, attachment.setup_now()
        if before is None or now is None or before == now:
            return []
        attachment.note_setup()
        names = changed(before, now)
        if SNI_CALLBACK in names and now.sni_callback:
            attachment.detach()
        counts = self.counts.setdefault(vip, Counter())
        fresh = [name for name in names if not counts[name]]
        counts.update(names)
        return fresh
