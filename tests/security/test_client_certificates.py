"""Client certificates between whole nodes: never exported by default, and what a hostile member can make of them.

What is checked again at the moment of resumption (revoked, expired, authority gone, purpose) is tested on real contexts
in tests/tls/test_revalidate.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache import MeshNode, Outcome
from meshcache.edges.keyfile import load_keyring
from tests.nodes import Place
from tests.security.members import HostileMember
from tests.support.waiting import wait_until
from tests.tls.world import (
    TLS_ERRORS,
    VERSIONS,
    ask_clients,
    client_certificate,
    client_context,
    load_list,
    revoking,
    server_context,
    visit,
)

REVALIDATE = {"client_certificates": "revalidate"}


def asking(node: MeshNode) -> Any:
    context = server_context("stdlib")
    ask_clients(context)
    return node.attach(context, vip="shop")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "sharing", [({}, {}), (REVALIDATE, {}), ({}, REVALIDATE)], ids=["by default", "the sender's", "the receiver's"]
)
def test_one_end_that_says_never_keeps_them_at_home(
    place: Place, version: str, sharing: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    one, other = (place.node(f"edge-{at}", sharing=each) for at, each in enumerate(sharing))
    made, found = asking(one), asking(other)
    place.wait_until_met()
    client = client_context(version, client_certificate())
    session = visit(made, client).session
    assert visit(made, client, session=session).resumed
    back = visit(found, client, session=visit(made, client).session)
    assert not back.resumed
    assert back.server.peer is not None
    assert other.stats()["vips"]["shop"]["sessions"]["received"] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_with_revalidate_they_resume_elsewhere_until_they_are_revoked(place: Place, version: str, folder: Path) -> None:
    one, other = (place.node(f"edge-{at}", sharing=REVALIDATE) for at in range(2))
    made, found = asking(one), asking(other)
    place.wait_until_met()
    leaf = client_certificate("comes and goes")
    client = client_context(version, leaf)
    session = visit(made, client).session
    wait_until(lambda: other.stats()["vips"]["shop"]["entries"] == 1)
    back = visit(found, client, session=session)
    assert (back.resumed, other.resumption(back.server.tls).outcome) == (True, Outcome.REMOTE)
    assert back.server.peer is not None
    load_list(found, revoking(leaf), folder)  # the context that is attached, as a program may
    with pytest.raises(TLS_ERRORS):
        visit(found, client, session=back.session if version == "1.3" else session)
    assert other.stats()["vips"]["shop"]["lookups"]["refused"] == {"client_certificate": 1}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("sharing, gets_in", [({}, False), (REVALIDATE, True)], ids=["never", "revalidate"])
def test_a_member_that_lies_about_them_gets_in_as_someone_else_only_where_the_vip_says_revalidate(
    place: Place, version: str, sharing: dict[str, Any], gets_in: bool
) -> None:
    """A certificate is no secret, so whoever may file sessions can make one that shows anybody's: docs/security.md says
    so, and it is the reason why "never" is the default.
    """
    home = place.node("edge-1", mesh={"name": "elsewhere", "seeds": []})
    victim = place.node("edge-2", mesh={"seeds": []}, sharing=sharing)
    made, found = asking(home), asking(victim)
    client = client_context(version, client_certificate())
    session = visit(made, client).session
    (session_id,) = home.internals.pump.core.session_ids("shop")
    stolen = home.internals.pump.core.session_origin("shop", session_id)
    assert stolen is not None
    mallory = HostileMember(load_keyring(place.folder / "mesh.key"), victim)
    try:
        mallory.joins(victim)
        mallory.pushes(1, [stolen[0].der], [session_id])  # flagged as made without a certificate
        wait_until(lambda: victim.stats()["vips"]["shop"]["entries"] == 1)
        back = visit(found, client, session=session)
        assert back.resumed == gets_in
        refused = victim.stats()["vips"]["shop"]["lookups"]["refused"]
        assert refused == ({} if gets_in else {"client_certificate": 1})
    finally:
        mallory.close()
