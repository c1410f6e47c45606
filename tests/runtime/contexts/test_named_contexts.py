"""Multi-tenant servers on running nodes: one context listens, each server name has a context, perhaps a VIP too."""

from __future__ import annotations

import gc
import os
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshcache import AttachError, MeshNode, Outcome, Settings
from meshcache.runtime.contexts.attaching import JoiningContext
from meshcache.runtime.contexts.named_contexts import NamedContexts
from meshcache.tls.contexts import attachment_of
from meshcache.tls.libssl import find
from meshcache.tls.names import has_ours, sni_callback
from tests.nodes import Place, settings
from tests.support.waiting import wait_until
from tests.tls.world import (
    KINDS,
    ask_clients,
    authority,
    client_certificate,
    client_context,
    give_certificate,
    resident_bytes,
    server_context,
    visit,
)

VIPS = [{"name": "shop", "tickets": 1}, {"name": "bank", "tickets": 1}]

by_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def made(folder: Path) -> Settings:
    return settings(folder, vip=VIPS)


@pytest.fixture
def node(made: Settings) -> Iterator[MeshNode]:
    with MeshNode(made) as node:
        yield node


def site(kind: str, *names: str, version: str | None = None) -> Any:
    return server_context(kind, version, names)


def shown(context: Any, name: str | None) -> str:
    return str(visit(context, client_context(), name=name).client.tls.getpeercert()["subjectAltName"][0][1])  # type: ignore[index]


def resumes(context: Any, client: Any, name: str = "a.test") -> bool:
    return bool(visit(context, client, name=name, session=visit(context, client, name=name).session).resumed)


@by_kind
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_session_resumes_on_another_node_under_its_name_and_nowhere_else(
    folder: Path, kind: str, version: str
) -> None:
    with closing(Place(folder)) as place:
        servers = []
        for name in ("edge-1", "edge-2"):
            node = place.node(name, vip=VIPS)
            both = site(kind, "c.test", "d.test", version=version)
            sites = node.attach_names(
                site(kind, "listening.test", version=version),
                {
                    "a.test": site(kind, "a.test", version=version),
                    "*.b.test": (site(kind, "*.b.test", version=version), "bank"),
                    "c.test": both,
                    "d.test": both,
                },
                vip="shop",
            )
            servers.append((node, sites.context))
        place.wait_until_met()
        (_, one), (other_node, other) = servers
        client = client_context(version)
        for name in ("a.test", "x.b.test", "c.test", "listening.test"):
            session = visit(one, client, name=name).session
            for asked in ("a.test", "y.b.test", "d.test", "listening.test"):
                if asked != name:
                    assert not visit(other, client, name=asked, session=session).resumed, (name, asked)

            def comes_back(name: str = name, session: Any = session) -> bool:
                turn = visit(other, client, name=name, session=session)
                found = other_node.resumption(turn.server.tls)
                return found.outcome is Outcome.REMOTE and found.server_name == name

            wait_until(comes_back, what=f"{name} resumes on the other node")
        shop, bank = (other_node.stats()["vips"][vip]["sessions"] for vip in ("shop", "bank"))
        assert shop["received"]
        assert bank["received"]


@by_kind
def test_clients_are_asked_for_certificates_of_their_names_authority(node: MeshNode, kind: str) -> None:
    """Tenants that trust different authorities are in VIPs of their own; the context that listens asks as they do."""
    listening, a, b = (site(kind, f"{name}.test") for name in ("listening", "a", "b"))
    ask_clients(listening)
    ask_clients(a)
    ask_clients(b, ca="other")
    sites = node.attach_names(listening, {"a.test": a, "b.test": (b, "bank")}, vip="shop")
    for version in ("1.2", "1.3"):
        ours = client_context(version, client_certificate())
        theirs = client_context(version, authority("other").issue_cert("client@example.test"))
        for client, good, bad in ((ours, "a.test", "b.test"), (theirs, "b.test", "a.test")):
            session = visit(sites.context, client, name=good).session
            assert visit(sites.context, client, name=good, session=session).resumed
            with pytest.raises(Exception, match=r".*"):
                visit(sites.context, client, name=bad, session=session)


@by_kind
def test_names_come_and_go_while_it_listens(node: MeshNode, kind: str) -> None:
    sites = node.attach_names(site(kind, "listening.test"), {}, vip="shop")
    assert (len(sites), shown(sites.context, "a.test")) == (0, "listening.test")
    first, second = site(kind, "a.test"), site(kind, "a.test", "b.test")
    sites.add("A.test", first)
    client = client_context("1.2")
    session = visit(sites.context, client).session
    assert ("a.test" in sites, sites.names()) == (True, ["a.test"])
    sites.add("a.test", second)  # a renewed certificate
    assert visit(sites.context, client, session=session).resumed, "in the same class of names"
    assert attachment_of(first) is None
    sites.add("b.test", second)
    assert sites.remove("a.test")
    assert not sites.remove("a.test")
    assert shown(sites.context, "a.test") == "listening.test"
    assert shown(sites.context, "b.test") == "a.test"
    assert attachment_of(second) is not None
    sites.remove("b.test")
    assert attachment_of(second) is None


@by_kind
def test_a_context_that_served_by_itself_does_so_after_its_name_is_gone(node: MeshNode, kind: str) -> None:
    own = node.attach(site(kind, "a.test"), vip="shop")
    sites = node.attach_names(site(kind, "listening.test"), {"a.test": own}, vip="shop")
    client = client_context("1.2")
    session = visit(own, client).session
    assert visit(sites.context, client, session=session).resumed
    sites.remove("a.test")
    assert visit(own, client, session=session).resumed


@by_kind
def test_a_name_may_lead_to_the_context_that_listens(node: MeshNode, kind: str) -> None:
    listening = site(kind, "a.test", "b.test")
    sites = node.attach_names(listening, {"a.test": listening}, vip="shop", unknown="refuse")
    assert shown(sites.context, "a.test") == "a.test"
    for name in ("b.test", None):
        with pytest.raises(Exception, match=r"(?i)name|hello|callback"):
            visit(sites.context, client_context(), name=name)
    with pytest.raises(AttachError, match="leads to the listening context, which serves VIP shop"):
        sites.add("b.test", listening, vip="bank")


REFUSED: list[tuple[str, str]] = [
    ("asks clients", "verify_mode is required where the listening context's is none"),
    ("another certificate", r"b.test: the certificate of its context doesn't cover it; it covers a.test"),
    ("an SNI callback", "b.test: its context has an SNI callback"),
    ("the other library", "two TLS libraries"),
    ("no such VIP", "there is no VIP 'none'"),
    ("no context", "a context is an OpenSSL.SSL.Context or an ssl.SSLContext"),
    ("no name", "is no server name"),
]


@by_kind
@pytest.mark.parametrize(("what", "said"), REFUSED)
def test_what_cant_be_served_is_refused_and_all_is_as_it_was(node: MeshNode, kind: str, what: str, said: str) -> None:
    good, bad, listening = site(kind, "a.test"), site(kind, "b.test"), site(kind, "listening.test")
    given: Any = bad
    if what == "asks clients":
        ask_clients(bad)
    elif what == "another certificate":
        given = site(kind, "a.test")
    elif what == "an SNI callback" and kind == "stdlib":
        bad.sni_callback = lambda *_: None
    elif what == "an SNI callback":
        bad.set_tlsext_servername_callback(lambda _: None)
    elif what == "the other library":
        given = site("stdlib" if kind == "pyopenssl" else "pyopenssl", "b.test")
    elif what == "no such VIP":
        given = (bad, "none")
    elif what == "no context":
        given = "b.pem"
    names = {"a.test": good, "*bad" if what == "no name" else "b.test": given}
    with pytest.raises(AttachError, match=said):
        node.attach_names(listening, names, vip="shop")
    assert attachment_of(good) is attachment_of(listening) is None
    assert sni_callback(listening) is None
    sites = node.attach_names(listening, {"a.test": good}, vip="shop")
    if isinstance(given, tuple):
        given = given[0]
        with pytest.raises(AttachError, match=said):
            sites.add("b.test", given, vip="none")
    else:
        with pytest.raises(AttachError, match=said):
            sites.add("*bad" if what == "no name" else "b.test", given)
    assert sites.names() == ["a.test"]
    assert shown(sites.context, "b.test") == "listening.test"


@by_kind
def test_an_sni_callback_of_the_programs_is_not_replaced_silently(node: MeshNode, kind: str) -> None:
    listening = site(kind, "listening.test")
    if kind == "stdlib":
        listening.sni_callback = lambda *_: None
    else:
        listening.set_tlsext_servername_callback(lambda _: None)
    with pytest.raises(AttachError, match="has an SNI callback: its names are to be given here in its place"):
        node.attach_names(listening, {}, vip="shop")
    with pytest.raises(AttachError, match="attach_names chooses contexts by server name"):
        node.attach(listening, vip="shop")
    with pytest.raises(AttachError, match='unknown is "default" or "refuse"'):
        node.attach_names(site(kind, "listening.test"), {}, vip="shop", unknown="drop")  # type: ignore[arg-type]


@by_kind
def test_a_listening_context_cant_join_as_one_without_names(node: MeshNode, kind: str) -> None:
    """Else OpenSSL would resume on it before its SNI callback moves the connection."""
    sites = node.attach_names(site(kind, "listening.test"), {"a.test": site(kind, "a.test")}, vip="shop")
    with pytest.raises(AttachError, match="SNI callback"):
        node.attach(sites.context, vip="shop")
    again = node.attach_names(sites.context, {"b.test": site(kind, "b.test")}, vip="shop")
    assert again.names() == ["b.test"]
    assert shown(sites.context, "b.test") == "b.test"
    assert shown(sites.context, "a.test") == "listening.test"


def test_vips_that_resume_in_different_ways_are_not_behind_one_context(folder: Path) -> None:
    vips = [{"name": "shop"}, {"name": "bank", "resumption": "tickets"}]
    with MeshNode(settings(folder, vip=vips)) as node:
        named = site("stdlib", "a.test")
        with pytest.raises(AttachError, match="VIP bank resumes by tickets, the listening context's by sessions"):
            node.attach_names(site("stdlib", "listening.test"), {"a.test": (named, "bank")}, vip="shop")
        assert attachment_of(named) is None


def test_a_context_that_serves_already_goes_on_where_its_name_is_refused(folder: Path) -> None:
    """It has a listener of its own, whose clients go on resuming."""
    vips = [{"name": "shop"}, {"name": "bank", "resumption": "tickets"}]
    with MeshNode(settings(folder, vip=vips)) as node:
        bank = node.attach(site("stdlib", "a.test"), vip="bank")
        sites = node.attach_names(site("stdlib", "listening.test"), {}, vip="shop")
        with pytest.raises(AttachError, match="VIP bank resumes by tickets, the listening context's by sessions"):
            sites.add("a.test", bank, vip="bank")
        assert sites.names() == []
        lenient = node.attach_names(site("stdlib", "listening.test"), {}, vip="shop", required=False)
        lenient.add("a.test", bank, vip="bank")
        assert node.left_out == {"AttachError": 1}
        assert attachment_of(bank) is not None
        client = client_context()
        wait_until(partial(resumes, bank, client), what="it has a key")


def test_a_reload_after_which_they_would_is_refused(folder: Path) -> None:
    def made(shop: str, bank: str) -> Settings:
        return settings(folder, vip=[{"name": "shop", "resumption": shop}, {"name": "bank", "resumption": bank}])

    with MeshNode(made("sessions", "sessions")) as node:
        named = {"a.test": (site("stdlib", "a.test"), "bank")}
        sites, client = node.attach_names(site("stdlib", "b.test"), named, vip="shop"), client_context()
        for differing in (("sessions", "tickets"), ("both", "sessions")):
            with pytest.raises(
                AttachError, match=f"VIP bank: resumption would be {differing[1]}, and that of VIP shop"
            ):
                node.reload(made(*differing))
            assert resumes(sites.context, client, "a.test")
            assert resumes(sites.context, client, "b.test")
        node.reload(made("tickets", "tickets"))
        for name in ("a.test", "b.test"):
            wait_until(partial(resumes, sites.context, client, name), what=f"{name} has a key")
        sites.remove("a.test")
        node.reload(made("tickets", "sessions"))


def test_a_context_that_is_left_without_the_mesh_under_its_name_stops_no_reload(folder: Path) -> None:
    """It goes on in its own VIP, by a listener of its own."""
    vips = [{"name": "shop"}, {"name": "bank", "resumption": "tickets"}]
    with MeshNode(settings(folder, vip=vips)) as node:
        bank = node.attach(site("stdlib", "a.test"), vip="bank")
        sites = node.attach_names(site("stdlib", "b.test"), {"a.test": (bank, "bank")}, vip="shop", required=False)
        node.reload(settings(folder, vip=vips))
        assert sites.names() == ["a.test"]
        assert resumes(sites.context, client_context(), "b.test")
        wait_until(partial(resumes, bank, client_context()), what="its VIP has a key")


@by_kind
def test_contexts_that_served_before_do_so_as_before_where_a_later_name_is_refused(node: MeshNode, kind: str) -> None:
    pauses = kind == "pyopenssl"
    listening = node.attach(site(kind, "listening.test"), vip="shop", on_unclean_close="drop", pauses=pauses)
    own = node.attach(site(kind, "a.test"), vip="bank", on_unclean_close="drop", pauses=pauses)
    names = {"a.test": (own, "bank"), "b.test": site(kind, "b.test"), "c.test": site(kind, "another.test")}
    with pytest.raises(AttachError, match="doesn't cover it"):
        node.attach_names(listening, names, vip="shop")
    for context, name in ((listening, "listening.test"), (own, "a.test")):
        attachment = attachment_of(context)
        assert attachment is not None
        assert (attachment.on_unclean_close, attachment.pauses, attachment.names) == ("drop", pauses, None)
        assert shown(context, "a.test") == name
        assert resumes(context, client_context("1.2"), name)
    assert attachment_of(names["b.test"]) is None


@by_kind
def test_names_go_on_where_others_for_the_same_listening_context_are_refused(node: MeshNode, kind: str) -> None:
    sites = node.attach_names(site(kind, "listening.test"), {"a.test": site(kind, "a.test")}, vip="shop")
    with pytest.raises(AttachError, match="doesn't cover it"):
        node.attach_names(sites.context, {"b.test": site(kind, "a.test")}, vip="shop")
    with pytest.raises(AttachError, match="attached to VIP 'shop' already"):
        node.attach_names(sites.context, {}, vip="bank")
    assert shown(sites.context, "a.test") == "a.test"
    assert resumes(sites.context, client_context("1.2"), "a.test")


def test_a_context_leaves_again_where_whoever_is_told_of_it_fails(node: MeshNode) -> None:
    fails: list[int] = []

    def joined(_context: Any, _vip: str) -> None:
        if fails:
            raise KeyError

    sites = node.attach_names(site("stdlib", "listening.test"), {}, vip="shop", joined=joined)
    named = site("stdlib", "a.test")
    fails.append(1)
    with pytest.raises(KeyError):
        sites.add("a.test", named)
    assert attachment_of(named) is None
    fails.clear()
    sites.add("a.test", named)
    sites.remove("a.test")
    assert attachment_of(named) is None


def test_a_context_of_a_node_that_was_closed_is_in_no_vip_after_a_refusal(made: Settings, folder: Path) -> None:
    listening = site("stdlib", "listening.test")
    with MeshNode(settings(folder, "edge-2", vip=VIPS)) as gone:
        gone.attach(listening, vip="shop")
    with MeshNode(made) as node:
        with pytest.raises(AttachError, match="doesn't cover it"):
            node.attach_names(listening, {"a.test": site("stdlib", "b.test")}, vip="shop")
        assert attachment_of(listening) is None


def test_tickets_keep_to_their_names_too(folder: Path) -> None:
    modes = {"stdlib": "both", "pyopenssl": "tickets"}
    vips = [{"name": f"{vip}-{mode}", "resumption": mode} for mode in modes.values() for vip in ("shop", "bank")]
    with MeshNode(settings(folder, vip=vips)) as node:
        for kind, mode in modes.items():
            names = {"a.test": site(kind, "a.test"), "b.test": (site(kind, "b.test"), f"bank-{mode}")}
            sites = node.attach_names(site(kind, "listening.test"), names, vip=f"shop-{mode}")
            for version in ("1.2", "1.3"):
                client = client_context(version)

                def carries(made: str, asked: str, context: Any = sites.context, client: Any = client) -> bool:
                    session = visit(context, client, name=made).session
                    return visit(context, client, name=asked, session=session).resumed

                for name in ("a.test", "b.test"):
                    wait_until(partial(carries, name, name), what=f"{name} has a key")
                assert not carries("a.test", "b.test")
                assert not carries("b.test", "listening.test")


@by_kind
def test_without_a_node_each_name_has_its_context(made: Settings, kind: str) -> None:
    node = MeshNode(made)
    with pytest.raises(Exception, match="start the node first"):
        node.attach_names(site(kind, "listening.test"), {}, vip="shop")
    names = {"a.test": site(kind, "a.test"), "b.test": (site(kind, "b.test"), "none")}
    sites = node.attach_names(site(kind, "listening.test"), names, vip="shop", required=False)
    sites.add("c.test", site(kind, "c.test"))
    assert [shown(sites.context, name) for name in ("a.test", "b.test", "c.test", None)] == [
        "a.test",
        "b.test",
        "c.test",
        "listening.test",
    ]
    assert node.left_out == {"new": 4}


@by_kind
def test_what_the_mesh_refuses_is_served_all_the_same_where_it_isnt_required(node: MeshNode, kind: str) -> None:
    asking = site(kind, "b.test")
    ask_clients(asking, required=False)
    names = {"a.test": site(kind, "a.test"), "b.test": asking}
    sites = node.attach_names(site(kind, "listening.test"), names, vip="shop", required=False)
    client = client_context("1.2")
    for name, resumes in (("a.test", True), ("b.test", False)):
        first = visit(sites.context, client, name=name)
        assert visit(sites.context, client, name=name, session=first.session).resumed == resumes
        assert shown(sites.context, name) == name
    assert node.left_out == {"AttachError": 1}


@by_kind
def test_names_outlive_the_node(made: Settings, kind: str) -> None:
    with MeshNode(made) as node:
        sites = node.attach_names(site(kind, "listening.test"), {"a.test": site(kind, "a.test")}, vip="shop")
        client = client_context("1.2")
        session = visit(sites.context, client).session
    assert not visit(sites.context, client, session=session).resumed
    assert shown(sites.context, "a.test") == "a.test"
    assert sites.remove("a.test")
    assert shown(sites.context, "a.test") == "listening.test"


def test_joined_is_told_of_each_context_with_its_vip(node: MeshNode) -> None:
    told: list[tuple[Any, str]] = []
    listening, a, b = (site("stdlib", f"{name}.test") for name in ("listening", "a", "b"))
    sites = node.attach_names(
        listening, {"a.test": (a, "bank")}, vip="shop", joined=lambda context, vip: told.append((context, vip))
    )
    sites.add("b.test", b)
    assert told == [(listening, "shop"), (a, "bank"), (b, "shop")]


def test_whoever_is_told_may_wait_for_another_thread_that_uses_the_node(node: MeshNode) -> None:
    ended: list[bool] = []
    other = node.attach(site("stdlib", "other.test"), vip="shop")

    def joined(_context: Any, _vip: str) -> None:
        thread = threading.Thread(target=node.detach, args=(other,), daemon=True)
        thread.start()
        thread.join(20)
        ended.append(not thread.is_alive())

    sites = node.attach_names(site("stdlib", "listening.test"), {}, vip="shop", joined=joined)
    sites.add("a.test", site("stdlib", "a.test"))
    assert ended == [True, True]


@by_kind
@pytest.mark.parametrize("before", ["another context", "the listening context", "nothing"])
def test_a_name_leads_to_where_it_led_where_whoever_is_told_of_another_fails(
    node: MeshNode, kind: str, before: str
) -> None:
    def joined(context: Any, _vip: str) -> None:
        if context is named:
            raise KeyError

    named, former, listening = (site(kind, *names.split()) for names in ("a.test", "b.test a.test", "l.test a.test"))
    given = {"another context": {"a.test": former}, "the listening context": {"a.test": listening}, "nothing": {}}
    sites = node.attach_names(listening, given[before], vip="shop", joined=joined)
    with pytest.raises(KeyError):
        sites.add("a.test", named)
    assert attachment_of(named) is None
    assert ("a.test" in sites) is (before != "nothing")
    assert shown(listening, "a.test") == ("b.test" if before == "another context" else "l.test")
    assert resumes(listening, client_context("1.2"))


@by_kind
def test_our_own_callback_is_no_change_of_the_context(node: MeshNode, kind: str) -> None:
    sites = node.attach_names(site(kind, "listening.test"), {"a.test": site(kind, "a.test")}, vip="shop")
    attachment = attachment_of(sites.context)
    assert attachment is not None
    assert attachment.setup == attachment.setup_now()
    assert has_ours(sites.context)
    if kind == "stdlib":
        sites.context.sni_callback = lambda *_: None
    else:
        sites.context.set_tlsext_servername_callback(lambda _: None)
    now = attachment.setup_now()
    assert now is not None
    assert now.sni_callback


def test_a_forked_child_chooses_by_name_without_the_mesh(node: MeshNode) -> None:
    sites = node.attach_names(site("stdlib", "listening.test"), {"a.test": site("stdlib", "a.test")}, vip="shop")
    client = client_context("1.2")
    session = visit(sites.context, client).session
    child = os.fork()
    if child == 0:
        turn = visit(sites.context, client, session=session)
        good = not turn.resumed and turn.client.tls.getpeercert()["subjectAltName"] == (("DNS", "a.test"),)  # type: ignore[index]
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_contexts_that_come_and_go_leave_nothing(node: MeshNode) -> None:
    """As tenants do; the same few certificates here, since making them would be most of the time."""
    leaves = [authority().issue_cert(f"t{number}.test") for number in range(20)]
    sites = node.attach_names(tenant(leaves[0]), {}, vip="shop")
    resident = 0
    for number in range(400):
        sites.add(f"t{number % 20}.test", tenant(leaves[number % 20]))
        if number % 50 == 0:
            visit(sites.context, client_context("1.2"), name=f"t{number % 20}.test")
        if number == 150:
            gc.collect()
            resident = resident_bytes()
    gc.collect()
    assert len(sites) == 20
    assert resident_bytes() - resident < 2 * 1024 * 1024, "250 contexts are 5 MiB"


def test_adding_a_context_takes_no_longer_where_there_are_many(node: MeshNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in digests, each a hash over all that a session is bound to, and not in time."""
    asked = Counter[str]()
    digest = JoiningContext.digest.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(JoiningContext, "digest", property(lambda self: (asked.update(["digest"]), digest(self))[1]))
    leaf = authority().issue_cert("*.many.test")
    sites, counts = node.attach_names(tenant(leaf), {}, vip="shop"), list[int]()
    for number in range(60):
        sites.add(f"t{number}.many.test", tenant(leaf))
        counts.append(asked.pop("digest"))
    assert counts[1] == counts[-1]


def tenant(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    give_certificate(context, leaf)
    return context


def test_it_is_what_the_node_returns(node: MeshNode) -> None:
    sites = node.attach_names(site("stdlib", "listening.test"), {}, vip="shop")
    assert isinstance(sites, NamedContexts)
    assert find(sites.context).pointer
