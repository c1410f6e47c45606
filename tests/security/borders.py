"""The borders that no session crosses: for each a pair of servers and a client with only this border between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.security.oracle import Coming, Node, Vip

ALIKE = Vip("shop", reach="everywhere", asks="optional", revalidate=True)
"""What both servers are but for what is named: with nothing between them every session would cross."""

PLAIN = Coming("a.test", None, "1.3")
CERTIFIED = replace(PLAIN, certificate="main")


@dataclass(frozen=True)
class Border:
    """Made as `made` at `home`, offered as `offered` at `away`; the oracle calls what lies between them `why`."""

    why: str
    home: Vip = ALIKE
    away: Vip = ALIKE
    made: Coming = PLAIN
    offered: Coming = PLAIN
    colos: tuple[str, str] = ("ams1", "fra1")
    travels: bool = False
    """Whether it gets as far as the other cache, and is refused there at the lookup."""

    @property
    def nodes(self) -> list[Node]:
        """The two servers."""
        ends = enumerate(zip(self.colos, (self.home, self.away), strict=True))
        return [Node(f"edge-{at}", colo, (vip,)) for at, (colo, vip) in ends]


def _away(why: str, home: Vip = ALIKE, **different: object) -> Border:
    return Border(why, home, replace(home, **different))  # type: ignore[arg-type]


BORDERS = {
    "another group": _away("group", group="pay"),
    "another floor": _away("floor", floor="1.3"),
    "clients are not asked": _away("client rules", asks=None),
    "clients must answer": Border(
        "client rules", away=replace(ALIKE, asks="required"), made=CERTIFIED, offered=CERTIFIED
    ),
    "other authorities": _away("client rules", trusts="second"),
    "bound to another certificate": _away(
        "binding", replace(ALIKE, bind="certificate"), certificate=(("a.test", "b.test"), 1)
    ),
    "bound at one end": _away("binding", bind="certificate"),
    "it stays on the server": Border("sender reach", home=replace(ALIKE, reach="server")),
    "it stays in the colo": Border("sender reach", home=replace(ALIKE, reach="colo")),
    "it goes to other colos": Border("sender reach", home=replace(ALIKE, reach=("lon1",))),
    "none are taken": Border("receiver reach", away=replace(ALIKE, reach="server")),
    "none are taken from other colos": Border("receiver reach", away=replace(ALIKE, reach="colo")),
    "none are taken from this colo": Border("receiver reach", away=replace(ALIKE, reach=("lon1",))),
    "none are taken from beside": Border("receiver reach", away=replace(ALIKE, reach="server"), colos=("ams1", "ams1")),
    "another name": Border("name", offered=replace(PLAIN, name="b.test"), travels=True),
    "no name": Border("name", offered=replace(PLAIN, name=None), travels=True),
    "a name that is not listed there": Border("name", home=replace(ALIKE, listed=("a.test", "b.test")), travels=True),
    "its maker keeps certificates at home": Border(
        "client certificate", home=replace(ALIKE, revalidate=False), made=CERTIFIED, offered=CERTIFIED
    ),
    "its taker wants no certificates": Border(
        "client certificate", away=replace(ALIKE, revalidate=False), made=CERTIFIED, offered=CERTIFIED
    ),
}
