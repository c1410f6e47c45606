"""Certificates for addresses, for none, and several of them: a session is good for what its client could check."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from OpenSSL import SSL

from meshcache.core.policy.gates import Verdict
from tests.tls.world import (
    KINDS,
    VERSIONS,
    DictPort,
    PyOpenSSLEnd,
    attach,
    authority,
    bare_context,
    client_context,
    give_certificate,
    server_end,
    shake_hands,
    visit,
)

pytestmark = [
    pytest.mark.usefixtures("hot_path"),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("version", VERSIONS),
]


def issue(*names: str, **more: Any) -> trustme.LeafCert:
    return authority().issue_cert(*names, **more)


def nameless() -> trustme.LeafCert:
    """A certificate with no subjectAltName that TLS knows, as from ``openssl req -x509`` without more."""
    return issue("host@a.test", common_name="a.test")


def serve(kind: str, version: str, port: DictPort, *leaves: trustme.LeafCert) -> Any:
    context = bare_context(kind, version)
    for leaf in leaves:
        give_certificate(context, leaf)
    attach(context, port)
    return context


def resumes(kind: str, version: str, there: list[trustme.LeafCert], here: list[trustme.LeafCert], **names: Any) -> bool:
    """Whether a client resumes here what it made there, by servers of one VIP whose mesh is perfect."""
    port, client = DictPort(), client_context(version)
    first = visit(serve(kind, version, port, *there), client, **names)
    second = visit(serve(kind, version, port, *here), client, **names, session=first.session)
    assert port.count("created") == (1 if second.resumed and version == "1.2" else 2)
    return second.resumed


def test_without_sni_sessions_of_one_address_do_not_resume_at_another(kind: str, version: str) -> None:
    """0.1.0 resumed 6 of 6: its class without SNI was the host names alone, of which neither has any."""
    assert not resumes(kind, version, [issue("127.0.0.1")], [issue("127.0.0.2")], name=None)
    assert not resumes(kind, version, [issue("a.test", "127.0.0.1")], [issue("a.test", "127.0.0.2")], name=None)
    assert resumes(kind, version, [issue("127.0.0.1")], [issue("127.0.0.1")], name=None), "a renewal is no border"


def test_without_sni_a_certificate_without_names_is_good_for_itself_alone(kind: str, version: str) -> None:
    one, other = nameless(), nameless()
    assert not resumes(kind, version, [one], [other], name=None)
    assert resumes(kind, version, [one], [one], name=None)


def test_without_sni_several_certificates_that_share_no_name_are_told_apart(kind: str, version: str) -> None:
    def pair(first: str, second: str) -> list[trustme.LeafCert]:
        return [issue(first), issue(second, key_type=trustme.KeyType.RSA)]

    assert not resumes(kind, version, pair("a.test", "b.test"), pair("c.test", "d.test"), name=None)
    assert not resumes(kind, version, pair("a.test", "b.test"), [issue("a.test")], name=None)
    assert resumes(kind, version, pair("a.test", "b.test"), pair("a.test", "b.test"), name=None)


def test_an_address_sent_as_server_name_is_that_address_where_the_certificate_covers_it(
    kind: str, version: str
) -> None:
    both = [issue("a.test", "127.0.0.1", "::1")]
    for address in ("127.0.0.1", "::1"):
        assert visits_by_address(kind, version, both, [address, address]) == [False, True]
    assert visits_by_address(kind, version, both, ["127.0.0.1", "::1"]) == [False, False]
    assert visits_by_address(kind, version, both, ["127.0.0.1", "a.test"]) == [False, False]


def visits_by_address(kind: str, version: str, leaves: list[trustme.LeafCert], names: list[str]) -> list[bool]:
    """Python's own client sends no address as server name; pyOpenSSL's does what it is told."""
    context = serve(kind, version, DictPort(), *leaves)
    client, session, resumed = SSL.Context(SSL.TLS_CLIENT_METHOD), None, []
    for name in names:
        end, server = PyOpenSSLEnd(client, server=False), server_end(context)
        end.tls.set_tlsext_host_name(name.encode())
        if session is not None:
            end.tls.set_session(session)
        shake_hands(end, server)
        resumed.append(server.resumed)
        session = end.tls.get_session()
        end.close()  # else OpenSSL takes the session for a bad one
    return resumed


def test_a_name_that_a_certificate_for_addresses_does_not_cover_is_counted(kind: str, version: str) -> None:
    for leaf in (issue("127.0.0.1"), nameless()):
        port, client = DictPort(), client_context(version)
        context = serve(kind, version, port, leaf)
        first = visit(context, client, name="a.test")
        second = visit(context, client, name="a.test", session=first.session)
        assert not second.resumed
        assert port.store == {}
        assert port.count("session_refused", Verdict.NAME_CLASS) == 2
        offered = version == "1.2" or first.session.has_ticket
        assert port.count("lookup_refused", Verdict.NAME_CLASS) == offered
