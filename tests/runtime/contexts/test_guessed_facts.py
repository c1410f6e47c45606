"""What is guessed of a VIP's contexts is what a plain one is, or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshcache import VipSettings
from meshcache.runtime.contexts.attaching import JoiningContext
from meshcache.runtime.contexts.guessed_facts import guessed_facts
from meshcache.tls.facts import read_facts
from tests.tls.world import KINDS, VERSIONS, server_certificate, server_context

BOUND = {"bind": "certificate"}


def vip(**more: Any) -> VipSettings:
    return VipSettings.model_validate({"name": "shop", **more})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_context_is_as_was_guessed(kind: str, version: str) -> None:
    settings = vip(min_tls=version)
    guessed = guessed_facts(settings)
    assert guessed is not None
    joining = JoiningContext(settings, read_facts(server_context(kind, version)))
    assert JoiningContext(settings, guessed).digest == joining.digest
    JoiningContext(replace_names(settings), guessed).check()


def replace_names(settings: VipSettings) -> VipSettings:
    return settings.model_copy(update={"names": ("a.test",)})


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_is_that_of_the_file(folder: Path, kind: str) -> None:
    path = folder / "shop.pem"
    chain = server_certificate("a.test", "b.test").cert_chain_pems
    path.write_bytes(b"".join(blob.bytes() for blob in chain))
    settings = vip(certificate=str(path), private_key=str(path), sharing=BOUND)
    guessed = guessed_facts(settings)
    assert guessed is not None
    real = read_facts(server_context(kind))
    assert JoiningContext(settings, guessed).digest == JoiningContext(settings, real).digest
    assert JoiningContext(settings, replace(guessed, chain=())).digest != JoiningContext(settings, real).digest


def test_what_takes_more_than_the_settings_isnt_guessed(folder: Path) -> None:
    (folder / "no.pem").write_text("nothing")
    asks = {"mode": "required", "ca_file": str(folder / "ca.pem")}
    assert guessed_facts(vip(client_auth=asks)) is None
    assert guessed_facts(vip(sharing=BOUND)) is None
    named = {"certificate": str(folder / "no.pem"), "private_key": str(folder / "no.pem")}
    assert guessed_facts(vip(sharing=BOUND, **named)) is None
