"""Twisted's plugin for ``mesh:`` endpoints; Twisted finds it here once `meshcache.contrib.twisted` was imported."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class _MeshParser:
    prefix = "mesh"

    def parseStreamServer(self, reactor: Any, *arguments: str, **more: str) -> Any:  # noqa: N802 - Twisted's name
        from meshcache.contrib.twisted import endpoint

        return endpoint(reactor, *arguments, **more)


mesh_endpoint_parser = _MeshParser()
