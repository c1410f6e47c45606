"""Tickets under given keys, on real OpenSSLs of both kinds and both hot paths: who resumes where, what is refused."""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from typing import Any

import pytest

from meshcache.core.policy.gates import Verdict
from meshcache.tls.contexts import lineage, resumption, server_name
from meshcache.tls.state import Mode
from meshcache.tls.ticket_keys import EdgeKey, EdgeKeys
from tests.tls.world import (
    KINDS,
    LOCAL,
    REMOTE,
    VERSIONS,
    DictPort,
    StdlibEnd,
    Visit,
    ask_clients,
    attach,
    client_certificate,
    client_context,
    server_context,
    server_end,
    visit,
)

pytestmark = pytest.mark.usefixtures("hot_path")

SECRETS = {letter: (letter.encode() * 16, os.urandom(32), os.urandom(32)) for letter in "kopq"}


def key(letter: str = "k", born_at: float = 900.0, **facts: Any) -> EdgeKey:
    name, aes, mac = SECRETS[letter]
    times = {"encrypts_until": born_at + 900, "opens_until": born_at + 4500, "lifetime_s": 3600.0}
    return EdgeKey(name, aes, mac, born_at, **(times | facts))


def keys(*opening: EdgeKey, node: str = "edge-1", current: EdgeKey | None = None, **limits: float) -> EdgeKeys:
    limits = {"lifetime12_s": 3600.0, "lifetime13_s": 3600.0, "lineage_s": 86400.0} | limits
    return EdgeKeys(current or (opening or (None,))[0], {each.name: each for each in opening}, node, **limits)


class Server:
    """One server with a port of its own; two of them share keys as far as a test gives them the same."""

    def __init__(
        self,
        kind: str = "stdlib",
        version: str | None = None,
        node: str = "edge-1",
        mode: Mode = Mode.TICKETS,
        ticket_keys: EdgeKeys | None = None,
        context: Any = None,
        **more: Any,
    ) -> None:
        self.port = DictPort(node=node, ticket_keys=ticket_keys or keys(key(), node=node))
        self.context = context or server_context(kind, version)
        self.attachment = attach(self.context, self.port, mode=mode, **more)

    def come(self, client: ssl.SSLContext, session: Any = None, **how: Any) -> Visit:
        return visit(self.context, client, session=session, **how)

    def refused(self) -> list[Verdict]:
        return [event[1] for event in self.port.log if event[0] == "ticket_refused"]


def pair(kind: str = "stdlib", version: str | None = None, other_kind: str = "", **how: Any) -> tuple[Server, Server]:
    return Server(kind, version, **how), Server(other_kind or kind, version, node="edge-2", **how)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
class TestResuming:
    def test_a_ticket_of_one_server_resumes_on_another_of_either_kind(
        self, kind: str, other: str, version: str
    ) -> None:
        one, two = pair(kind, version, other)
        client = client_context(version)
        first = one.come(client)
        assert not first.resumed
        assert one.port.count("issued") == 1
        assert one.port.made == []
        second = two.come(client, first.session)
        assert second.resumed
        assert two.port.count("opened", 100) == 1
        assert two.port.count("resumed", REMOTE) == 1
        assert (one.port.count("full"), two.port.count("full")) == (1, 0)
        assert resumption(second.server.tls) & 3 == REMOTE
        third = one.come(client, second.session)
        assert third.resumed
        assert one.port.count("resumed", LOCAL if version == "1.2" else REMOTE) == 1
        assert server_name(third.server.tls) == "a.test"
        assert lineage(third.server.tls) == lineage(first.server.tls) is not None
        assert [event for event in one.port.log + two.port.log if event[0] == "fault"] == []


@pytest.mark.parametrize("version", VERSIONS)
class TestKeys:
    def test_a_former_key_still_opens_and_in_tls_1_3_the_new_ticket_is_of_the_present_one(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)
        server.port.ticket_keys = keys(key("o", 990.0), key("k"))
        second = server.come(client, first.session)
        assert second.resumed
        server.port.ticket_keys = keys(key("o", 990.0))
        assert server.come(client, second.session).resumed == (version == "1.3")

    @pytest.mark.parametrize("given", (keys(key("o")), keys(key(opens_until=999.0)), keys()))
    def test_an_unknown_or_ended_key_is_a_full_handshake_and_counted(self, version: str, given: EdgeKeys) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)
        server.port.ticket_keys = given
        again = server.come(client, first.session)
        assert not again.resumed
        assert server.port.count("unknown") == 1
        assert server.port.count("missed") == 1
        assert server.refused() == []

    def test_a_key_of_the_same_name_and_another_value_is_a_full_handshake(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)
        server.port.ticket_keys = keys(replace(key(), mac=bytes(32)))
        assert not server.come(client, first.session).resumed
        assert server.refused() == [Verdict.DER]

    @pytest.mark.parametrize("given", (keys(), keys(key(encrypts_until=1000.0))))
    def test_without_a_key_to_encrypt_with_no_ticket_is_given_and_nothing_ends(
        self, version: str, given: EdgeKeys
    ) -> None:
        server, client = Server(version=version, ticket_keys=given), client_context(version)
        first = server.come(client)
        assert server.port.count("issued") == 0
        assert first.session is None or not first.session.has_ticket
        assert not server.come(client, first.session).resumed
        assert server.port.count("full") == 2

    def test_the_lifetime_counts_by_the_key_s_age_and_no_wall_clock(self, version: str) -> None:
        one, two = pair(version=version)
        client = client_context(version)
        first = one.come(client)  # a key 100 s old
        two.port.clock, two.port.ticket_keys = 9e6, keys(key(born_at=9e6 - 3690), node="edge-2")
        assert two.come(client, first.session).resumed
        two.port.ticket_keys = keys(key(born_at=9e6 - 3710), node="edge-2")
        assert not two.come(client, first.session).resumed
        assert two.refused() == [Verdict.LIFETIME]

    def test_the_shorter_of_the_key_s_lifetime_and_the_vip_s_counts(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)
        server.port.clock += 60
        server.port.ticket_keys = keys(key(lifetime_s=50.0))
        assert not server.come(client, first.session).resumed
        server.port.ticket_keys = keys(key(), **{f"lifetime{version.replace('.', '')}_s": 50.0})
        assert not server.come(client, first.session).resumed
        assert server.refused() == [Verdict.LIFETIME] * 2


class TestLimits:
    def test_a_lineage_ends_however_often_it_was_renewed(self) -> None:
        one, two = pair(version="1.3", ticket_keys=None)
        client = client_context("1.3")
        seen = one.come(client)
        for server in (two, one, two):
            for each in (one, two):
                each.port.clock += 600
            seen = server.come(client, seen.session)
            assert seen.resumed
        one.port.ticket_keys = keys(key(), lineage_s=1799.0)
        assert not one.come(client, seen.session).resumed
        assert one.refused() == [Verdict.LINEAGE]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_ticket_resumes_under_its_own_name_alone(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client, name="a.test")
        assert not server.come(client, first.session, name="b.test").resumed
        assert server.refused() == [Verdict.NAME_CLASS]
        assert server.port.count("full") == 2

    @pytest.mark.parametrize("version", VERSIONS)
    def test_where_a_name_shares_nothing_no_ticket_is_given_nor_taken(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        assert server.come(client, name="c.other").session is not None or version == "1.3"
        assert server.port.count("issued") == 0
        assert server.port.count("session_refused", Verdict.NAME_CLASS) >= 1
        first = server.come(client, name="a.test")
        assert not server.come(client, first.session, name="c.other").resumed
        assert server.refused() == [Verdict.NAME_CLASS]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_another_group_or_epoch_with_the_same_key_is_a_full_handshake(self, version: str) -> None:
        one, two = Server(version=version), Server(version=version, group="other")
        client = client_context(version)
        assert not two.come(client, one.come(client).session).resumed
        assert two.refused() == [Verdict.NAME_CLASS]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_client_that_asks_for_a_verify_mode_of_another_kind_is_refused(self, version: str) -> None:
        one, client = Server(version=version), client_context(version)
        first = one.come(client)
        one.context.verify_mode = ssl.CERT_OPTIONAL
        assert not one.come(client, first.session).resumed
        assert one.refused() == [Verdict.SETTINGS_DIFFER]

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("revalidates", (False, True))
    def test_a_client_certificate_stays_where_it_was_shown_unless_it_is_checked_again(
        self, version: str, revalidates: bool
    ) -> None:
        servers = []
        for node in ("edge-1", "edge-2"):
            context = server_context("stdlib", version)
            ask_clients(context)
            servers.append(Server(node=node, context=context))
            servers[-1].port.allows_client_certificates = revalidates
        one, two = servers
        client = client_context(version, client_certificate())
        first = one.come(client)
        assert one.come(client, first.session).resumed
        first = one.come(client)
        assert two.come(client, first.session).resumed == revalidates
        assert two.refused() == ([] if revalidates else [Verdict.CLIENT_CERTIFICATE])

    def test_a_cipher_that_isn_t_offered_any_more_is_a_full_handshake(self) -> None:
        one, client = Server(version="1.2"), client_context("1.2")
        first = one.come(client)
        used = first.client.tls.cipher()[0]
        others = [each["name"] for each in one.context.get_ciphers() if each["name"] != used and "EC" in each["name"]]
        one.context.set_ciphers(":".join(others))
        assert not one.come(client, first.session).resumed
        assert one.refused() == [Verdict.PROTOCOL]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_an_operator_s_own_policy_is_asked_about_every_ticket(self, version: str) -> None:
        one, two = pair(version=version)
        client = client_context(version)
        first = one.come(client)
        two.port.lets_resume = False
        assert not two.come(client, first.session).resumed
        assert two.refused() == [Verdict.OWN_POLICY]
        assert two.port.count("may_resume", "edge-1", False) == 1


class TestModes:
    def test_both_gives_tls_1_3_sessions_and_tls_1_2_tickets(self) -> None:
        one, two = pair(mode=Mode.BOTH)
        two.port.store = one.port.store
        for version, issued, made in (("1.3", 0, 1), ("1.2", 1, 1)):
            client = client_context(version)
            first = one.come(client)
            assert (one.port.count("issued"), len(one.port.made)) == (issued, made)
            assert two.come(client, first.session).resumed
        assert two.port.count("opened", 100) == 1

    def test_both_on_a_server_that_speaks_tls_1_2_alone_gives_tickets(self) -> None:
        one, client = Server(version="1.2", mode=Mode.BOTH), client_context()
        first = one.come(client)
        assert one.port.count("issued") == 1
        assert one.come(client, first.session).resumed

    @pytest.mark.parametrize("mode", (Mode.TICKETS, Mode.BOTH))
    def test_a_tls_1_2_client_without_tickets_has_a_session_only_where_they_are_kept(self, mode: Mode) -> None:
        server, client = Server(version="1.2", mode=mode), client_context("1.2")
        client.options |= ssl.OP_NO_TICKET
        first = server.come(client)
        assert server.port.count("full") == 1
        assert len(server.port.made) == (mode is Mode.BOTH)
        assert server.come(client, first.session).resumed == (mode is Mode.BOTH)

    def test_sessions_gives_no_ticket(self) -> None:
        server, client = Server(version="1.2", mode=Mode.SESSIONS), client_context("1.2")
        assert not server.come(client).session.has_ticket
        assert server.port.count("issued") == 0

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_mode_can_change_while_the_context_serves(self, version: str) -> None:
        server, client = Server(version=version, mode=Mode.SESSIONS), client_context(version)
        server.come(client)
        server.attachment.limit(3600, mode=Mode.TICKETS)
        ticket = server.come(client)
        assert server.come(client, ticket.session).resumed
        server.attachment.limit(3600, mode=Mode.SESSIONS)
        assert not server.come(client, ticket.session).resumed
        assert len(server.port.made) == 2

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_detached_context_gives_no_tickets_and_takes_none(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)
        server.attachment.detach()
        assert not server.come(client, first.session).resumed
        assert not server.come(client, server.come(client).session).resumed


class TestHostileClients:
    """Tickets that were changed on the way; OpenSSL's own client can't be made to send them, so bytes are changed."""

    def answer(self, server: Server, hello: bytes) -> int:
        """The type of the first record that a server answers a ClientHello with: 22 is its own hello, 21 an alert."""
        end = server_end(server.context)
        end.feed(hello)
        assert not end.shake()
        return end.take()[0]

    def hello(self, client: ssl.SSLContext, session: Any) -> bytes:
        end = StdlibEnd(client, server=False, name="a.test", session=session)
        assert not end.shake()
        return end.take()

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_ticket_with_any_byte_changed_is_a_full_handshake(self, kind: str, version: str) -> None:
        server, client = Server(kind, version), client_context(version)
        hello = self.hello(client, server.come(client).session)
        start = hello.index(SECRETS["k"][0])
        for at in range(start, start + 150, 7):
            changed = hello[:at] + bytes([hello[at] ^ 0x41]) + hello[at + 1 :]
            assert self.answer(server, changed) == 22
        assert server.port.count("unknown") == 3, "of the changes, so many are in the key's name"
        assert set(server.refused()) == {Verdict.DER}
        assert [event for event in server.port.log if event[0] in ("fault", "opened")] == []

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("left", (0, 1, 15, 16, 17, 31, 32, 48, 63, 64, 65, 100))
    def test_a_ticket_that_was_cut_is_a_full_handshake(self, kind: str, left: int) -> None:
        server, client = Server(kind, "1.2"), client_context("1.2")
        hello = self.hello(client, server.come(client).session)
        start = hello.index(SECRETS["k"][0])
        size = int.from_bytes(hello[start - 2 : start], "big")
        assert self.answer(server, _cut(hello, start, size, size - left)) == 22
        assert [event for event in server.port.log if event[0] in ("fault", "opened")] == []

    def test_a_ticket_of_one_version_offered_in_another_is_a_full_handshake(self) -> None:
        server = Server()
        old, new = client_context("1.2"), client_context("1.3")
        tickets = [self.hello(each, server.come(each).session) for each in (old, new)]
        starts = [hello.index(SECRETS["k"][0]) for hello in tickets]
        sizes = [int.from_bytes(hello[at - 2 : at], "big") for hello, at in zip(tickets, starts, strict=True)]
        ticket = tickets[1][starts[1] : starts[1] + sizes[1]]
        hello = _put(tickets[0], starts[0], sizes[0], ticket)
        assert self.answer(server, hello) == 22
        assert server.refused() == [Verdict.PROTOCOL]

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_fault_in_the_port_is_a_full_handshake(self, version: str) -> None:
        server, client = Server(version=version), client_context(version)
        first = server.come(client)

        def broken(*_: object) -> int:
            raise RuntimeError("broken")

        server.port.ticket_token = broken  # type: ignore[method-assign]
        assert not server.come(client, first.session).resumed
        assert server.port.count("fault", "ticket_opened") == 1


def _cut(hello: bytes, start: int, size: int, by: int) -> bytes:
    """A TLS 1.2 ClientHello whose ticket has lost its last bytes, with all lengths as they should be then."""
    return _put(hello, start, size, hello[start : start + size - by])


def _put(hello: bytes, start: int, size: int, ticket: bytes) -> bytes:
    """A TLS 1.2 ClientHello with another ticket: its record, message, list of extensions and extension say how long."""
    changed = bytearray(hello[:start] + ticket + hello[start + size :])
    at = 5 + 4 + 2 + 32
    at += 1 + changed[at]
    at += 2 + int.from_bytes(changed[at : at + 2], "big")
    at += 1 + changed[at]
    for place, width in ((3, 2), (6, 3), (at, 2), (start - 2, 2)):
        length = int.from_bytes(changed[place : place + width], "big") + len(ticket) - size
        changed[place : place + width] = length.to_bytes(width, "big")
    return bytes(changed)
