"""Twisted finds the parser by itself, and what it makes serves the VIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from meshcache.contrib import Mesh, twisted
from tests.support.material import Authority, write_key
from tests.tls.world import client_context, visit


def test_an_endpoint_string_makes_a_context_that_serves_the_vip(folder: Path, authority: Authority) -> None:
    authority.write(folder)
    write_key(folder)
    file = folder / "meshcache.toml"
    file.write_text(
        '[mesh]\nkey_file = "mesh.key"\nlisten = "127.0.0.1:0"\nmdns = false\n[admin]\nsocket = false\n'
        '[[vip]]\nname = "shop"\n'
    )
    assert twisted.__name__ == "meshcache.contrib.twisted"
    parts = [f"privateKey={folder}/shop.key", f"certKey={folder}/shop.pem", f"file={file}", "vip=shop"]
    endpoint: Any = serverFromString(reactor, ":".join(["mesh", "0", "interface=127.0.0.1", *parts]))
    context, client = endpoint._sslContextFactory.getContext(), client_context()
    authority.ca.configure_trust(client)
    session = visit(context, client, name="shop.example").session
    assert visit(context, client, name="shop.example", session=session).resumed
    mesh = Mesh(file)
    node = mesh.start()
    assert node is not None
    assert node.stats()["vips"]["shop"]["handshakes"]["local"] == 1
    mesh.close()
