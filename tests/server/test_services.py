"""Tests of `server.services`: settings in, services out, with a real node between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from meshcache_server.applications.application import Client
from meshcache_server.applications.backends import Backends
from meshcache_server.applications.forwarding import Forwarding
from meshcache_server.applications.responder import Responder
from meshcache_server.services import make_contexts, make_service
from OpenSSL import SSL

from meshcache import ConfigError, MeshNode, Settings
from tests.server.harness import Certificates
from tests.support.material import write_key


class Nobody:
    """A client that no application has asked anything yet."""


@pytest.fixture
def settings(tmp_path: Path, certificates: Certificates) -> Settings:
    served = {"listen": ["127.0.0.1:0"], "certificate": certificates.chain, "private_key": certificates.key}
    plain: dict[str, Any] = {
        "node": {"name": "edge-1", "state_dir": tmp_path / "state"},
        "mesh": {"key_file": write_key(tmp_path), "listen": "127.0.0.1:0", "mdns": False},
        "admin": {"socket": False},
        "server": {"handshake_timeout_s": 3, "idle_timeout_s": 30, "connect_timeout_s": 2},
        "vip": [
            {"name": "shop", **served},
            {"name": "pay", **served, "backend": "[::1]:8080", "proxy_protocol": True},
            {"name": "embedded"},
        ],
    }
    return Settings.model_validate(plain)


@pytest.fixture
def node(settings: Settings) -> Iterator[MeshNode]:
    with MeshNode(settings) as node:
        yield node


def test_every_vip_that_listens_has_a_context_of_its_own(settings: Settings) -> None:
    contexts = make_contexts(settings)
    assert set(contexts) == {"shop", "pay"}
    assert contexts["shop"][0].context is not contexts["pay"][0].context


def test_the_faults_of_all_vips_are_named_at_once(settings: Settings) -> None:
    vips = [vip.model_copy(update={"ciphers": "NO-SUCH"}) for vip in settings.vips]
    with pytest.raises(ConfigError) as caught:
        make_contexts(settings.model_copy(update={"vips": tuple(vips)}))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["vip[0].ciphers", "vip[1].ciphers"]


def test_a_vip_with_a_backend_relays_and_another_responds(settings: Settings, node: MeshNode) -> None:
    contexts = make_contexts(settings)
    shop, pay = (
        make_service(settings.vips[at], contexts[settings.vips[at].name][0], settings, node, Backends())
        for at in (0, 1)
    )
    client = cast(Client, Nobody())
    assert isinstance(shop.make_application(client), Responder)
    relay = pay.make_application(client)
    assert isinstance(relay, Forwarding)
    pool = relay.pool
    assert [each.target for each in pool.backends] == ["[::1]:8080"]
    assert (pool.connect_timeout_s, pool.proxy_protocol) == (2, True)
    assert (shop.vip, shop.handshake_timeout_s, shop.idle_timeout_s) == ("shop", 3, 30)
    assert isinstance(shop.context, SSL.Context)
