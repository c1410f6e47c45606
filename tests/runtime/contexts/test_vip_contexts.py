"""What one VIP has of contexts, and a change of them while contexts end, as they do at any time on any thread."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshcache import AttachError, MeshNode, hot
from meshcache.runtime.contexts.attaching import InForce, JoiningContext
from meshcache.runtime.contexts.vip_contexts import AttachedContext, VipContexts
from meshcache.tls.contexts import attachment_of
from meshcache.tls.facts import read_facts
from tests.nodes import settings
from tests.tls.world import client_context, server_context, visit

NAMES = ("a.test", "b.test", "c.test")


@pytest.fixture
def node(folder: Path) -> Iterator[MeshNode]:
    with MeshNode(settings(folder)) as node:
        yield node


@pytest.fixture
def contexts(node: MeshNode) -> list[Any]:
    """Of one VIP, each with a certificate for another name."""
    return [node.attach(server_context("stdlib", None, (name,)), vip="shop") for name in NAMES]


def ends_in_the_midst(monkeypatch: pytest.MonkeyPatch, contexts: list[Any]) -> None:
    """Let the first of the contexts end while a change of all is under way, as on another thread."""
    check: Callable[[JoiningContext], None] = JoiningContext.check

    def end_one_and_check(self: JoiningContext) -> None:
        del contexts[: len(contexts) - 2]
        gc.collect()
        check(self)

    monkeypatch.setattr(JoiningContext, "check", end_one_and_check)


def assert_each_has_its_own_names(contexts: list[Any]) -> None:
    for context, own in zip(contexts, NAMES[1:], strict=True):
        other = next(name for name in NAMES[1:] if name != own)
        client = client_context("1.2")
        session = visit(context, client, name=own).session
        assert visit(context, client, name=own, session=session).resumed
        assert not visit(context, client, name=other, session=visit(context, client, name=other).session).resumed


def test_a_context_that_ends_during_a_reload_is_left_out_and_the_others_have_their_own_names(
    node: MeshNode, contexts: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in_the_midst(monkeypatch, contexts)
    node.reload(settings(folder, sharing={"lifetime_s": 60}))
    assert node.policy()[0]["lifetime_s"] == 60
    assert len(contexts) == 2
    assert_each_has_its_own_names(contexts)


def test_and_so_it_is_with_a_policy_that_is_set_live(
    node: MeshNode, contexts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in_the_midst(monkeypatch, contexts)
    done = node.policies.set_policy("shop", {"lifetime_s": "60"})
    assert (done["version"], done["kept"]) == (1, True)
    assert node.policy()[0]["lifetime_s"] == 60
    assert_each_has_its_own_names(contexts)


def test_what_is_refused_after_one_has_ended_is_put_back_on_those_that_are_left(
    node: MeshNode, contexts: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_in_the_midst(monkeypatch, contexts)
    core_type = type(node.internals.pump.core)
    set_vip, refusals = core_type.set_vip, iter([ValueError("no")])

    def refuse_once(self: Any, *given: Any) -> None:
        for refusal in refusals:
            raise refusal
        set_vip(self, *given)

    monkeypatch.setattr(core_type, "set_vip", refuse_once)
    with pytest.raises(AttachError, match="no"):
        node.reload(settings(folder, sharing={"group": "front"}))
    assert node.policy()[0]["group"] == "shop"
    assert_each_has_its_own_names(contexts)


@pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
def test_what_is_made_while_a_lifetime_is_cut_ends_as_early_as_the_rest(
    node: MeshNode, contexts: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake in C ends without the core's lock: after the core was told, and before the callbacks are."""
    core, port = node.internals.pump.core, node.internals.vips.port("shop")
    core_type = type(core)
    set_vip = core_type.set_vip

    def one_more(self: Any, *given: Any) -> None:
        set_vip(self, *given)
        assert port is not None
        assert port.door is not None
        port.door.collect(time.monotonic() + 60, False)  # whoever makes one waits for nobody
        visit(contexts[0], client_context("1.2"), name=NAMES[0])

    monkeypatch.setattr(core_type, "set_vip", one_more)
    node.reload(settings(folder, sharing={"lifetime_s": 60}))
    with node.internals.pump.lock:
        (session_id,) = core.session_ids("shop")
        found = core.duties.cache.peek("shop", session_id)
    assert found is not None
    assert found.expires_at - time.monotonic() <= 61


def test_a_change_back_is_what_was(node: MeshNode, contexts: list[Any], folder: Path) -> None:
    in_force, port = InForce(settings(folder)), node.internals.vips.port("shop")
    former = [in_force.joining("shop", read_facts(context)) for context in contexts]
    assert port is not None
    served = VipContexts(port, former[-1])
    for context, joining in zip(contexts, former, strict=True):
        attachment = attachment_of(context)
        assert attachment is not None
        served.add(AttachedContext(attachment, joining, 0))
    change = served.change(lambda joining: replace(joining, epoch=7))
    assert [each.joining for each in served.attached] == former, "nothing has changed yet"
    change.make()
    assert [each.joining.epoch for each in served.attached] == [7, 7, 7]
    assert served.joining.epoch == 7
    change.back().make()
    assert [each.joining for each in served.attached] == former
    assert served.joining is former[-1]
    assert_each_has_its_own_names(contexts[1:])
