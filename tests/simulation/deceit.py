"""A member that lies: it has the key, its place in the mesh, and says of others what isn't so.

What a member can do is in `docs/security.md`; here it does what must be without effect once it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from meshcache.core.cache.entry import Entries
from meshcache.core.values.session import StreamKey
from meshcache.core.values.topology import NodeRecord
from meshcache.core.wire.codec import encode
from meshcache.core.wire.messages import PUSH_SPAN_MAX, Batch, Hello, Leave, Message, Push, Roster, Seen, Vector
from tests.simulation.host import Host
from tests.simulation.world import World

Lie = Callable[[World, NodeRecord], tuple[Message, str]]
"""Of a victim's record: a message, and in whose name it is said: "" for the liar's own."""


def lie(world: World, liar: Host) -> bool:
    """Let a node say one lie about another to everybody it knows. False where it knows nobody to speak of."""
    known = [record for record, state in liar.core.records() if state == "alive"]
    if not known:
        return False
    victim = world.rng.choice(known)
    name = world.rng.choice(sorted(LIES))
    message, sender = LIES[name](world, victim)
    incarnation = message.record.incarnation if isinstance(message, Hello) else victim.incarnation
    payload = encode(sender or liar.name, incarnation if sender else liar.incarnation, message)
    connection = b"%s lies %d" % (liar.connection, world.scheduler.steps) if sender else liar.connection
    for record in known:
        if record.node != victim.node or world.rng.random() < 0.5:
            world.network.inject(liar, connection, record.address, payload)
    world.spoken_for.add(victim.node)
    world.fired("lie")
    world.fired(name)
    return True


def _empty_range(world: World, victim: NodeRecord) -> tuple[Message, str]:
    """A relayed push with nothing in it, over numbers that the victim hasn't given yet."""
    terms = world.rng.choice(victim.vips)
    first = world.rng.randrange(1, 200)
    batch = Batch(
        terms, victim.incarnation, victim.age, first, first + PUSH_SPAN_MAX - 1, Entries([], [], [], [], [], [])
    )
    return Push(batch), ""


def _seen_all(world: World, victim: NodeRecord) -> tuple[Message, str]:
    """The liar has all of the victim's sessions, it says, so whoever lacks one may ask it."""
    seen = [Seen(StreamKey(victim.node, victim.incarnation, terms.vip), (1, 1 << 20)) for terms in victim.vips]
    return Vector(0xFFFFFFFF, tuple(seen)), ""


def _higher_life(world: World, victim: NodeRecord) -> tuple[Message, str]:
    return Hello("sim", replace(victim, incarnation=victim.incarnation + world.rng.randrange(1, 10**7))), victim.node


def _other_terms(world: World, victim: NodeRecord) -> tuple[Message, str]:
    """The victim serves nothing any more, it says in its own life."""
    return Hello("sim", replace(victim, revision=victim.revision + world.rng.randrange(1, 9), vips=())), victim.node


def _goodbye(_world: World, victim: NodeRecord) -> tuple[Message, str]:
    return Leave(), victim.node


def _nobodies(world: World, victim: NodeRecord) -> tuple[Message, str]:
    """Nodes that don't exist, at addresses where nobody listens."""
    names = [f"nobody-{number}" for number in range(world.rng.randrange(1, 20))]
    records = tuple(NodeRecord(name, 1, victim.colo, f"{name}:7946", 1, (), "0") for name in names)
    return Roster(victim.colo, 0, records), ""


def _elsewhere(world: World, victim: NodeRecord) -> tuple[Message, str]:
    """The victim is a node of another colo, in a later life and with VIPs in other groups, says that colo's roster."""
    colo = f"{victim.colo}-too"
    vips = tuple(replace(terms, colo=colo, group=f"{terms.group}-too") for terms in victim.vips)
    later = victim.incarnation + world.rng.randrange(1, 10**7)
    return Roster(colo, 0, (replace(victim, colo=colo, incarnation=later, vips=vips),)), ""


LIES: dict[str, Lie] = {
    "lie: empty range": _empty_range,
    "lie: has seen all": _seen_all,
    "lie: later life": _higher_life,
    "lie: other terms": _other_terms,
    "lie: goodbye": _goodbye,
    "lie: nobodies": _nobodies,
    "lie: elsewhere": _elsewhere,
}
