"""Sessions across servers, kinds and versions: what the whole room is for."""

from __future__ import annotations

import pytest

from meshcache.tls.contexts import resumption
from tests.tls.world import KINDS, LOCAL, REMOTE, VERSIONS, DictPort, attach, client_context, server_context, visit

pytestmark = pytest.mark.usefixtures("hot_path")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_a_session_made_on_one_server_resumes_on_another_of_either_kind(first: str, second: str, version: str) -> None:
    here, client = DictPort(), client_context(version)
    there = DictPort(store=here.store)
    a, b = server_context(first, version), server_context(second, version)
    attach(a, here)
    attach(b, there)
    one = visit(a, client)
    assert (one.resumed, here.count("full"), resumption(one.server.tls)) == (False, 1, 0)
    two = visit(b, client, session=one.session)
    assert two.resumed
    assert resumption(two.server.tls) & 3 == REMOTE
    assert there.log[0] == ("hit",)
    assert there.count("full") == there.count("hit_not_resumed") == 0
    back = visit(b, client, session=two.session)
    assert back.resumed
    assert resumption(back.server.tls) & 3 == (REMOTE if version == "1.2" else LOCAL)
