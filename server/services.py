"""Turns settings into what listeners need: for each VIP that listens, a `Service` with context and application."""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL

from meshcache import ConfigError, MeshNode, Settings, VipSettings

from .addresses import split_address
from .application import Application, Client
from .contexts import answered_names, make_context
from .leaving import Leaving
from .relay import Backend, Relay
from .responder import About, Responder
from .service import Service


def make_contexts(settings: Settings) -> dict[str, SSL.Context]:
    """A context for each VIP that listens, by the VIP's name; none is attached yet.

    Raises ConfigError, which names every fault of every VIP.
    """
    faults: list[str] = []
    contexts = {}
    for index, vip in enumerate(settings.vips):
        if vip.listen:
            try:
                contexts[vip.name] = make_context(f"vip[{index}]", vip)
            except ConfigError as error:
                faults += error.faults
    if faults:
        raise ConfigError(faults)
    return contexts


def make_service(
    vip: VipSettings, context: SSL.Context, settings: Settings, node: MeshNode, leaving: Leaving
) -> Service:
    """The service of a VIP whose context is attached to the node."""
    return Service(
        vip=vip.name,
        context=context,
        mesh=node,
        make_application=_relay_maker(vip, vip.backend, settings, node, leaving)
        if vip.backend
        else _responder_maker(vip, node),
        handshake_timeout_s=settings.server.handshake_timeout_s,
        idle_timeout_s=settings.server.idle_timeout_s,
        connections_listed=bool(vip.alpn),
    )


def _relay_maker(
    vip: VipSettings, backend: str, settings: Settings, node: MeshNode, leaving: Leaving
) -> Callable[[Client], Application]:
    host, port = split_address(backend)
    address = Backend(
        host=host,
        port=port,
        connect_timeout_s=settings.server.connect_timeout_s,
        proxy_protocol=vip.proxy_protocol,
    )

    def make(client: Client) -> Application:
        return Relay(client, address, lambda: node.resumption(client.tls).outcome.value == "full", leaving)

    return make


def _responder_maker(vip: VipSettings, node: MeshNode) -> Callable[[Client], Application]:
    about = About(server=node.name, colo=node.colo, vip=vip.name, names=answered_names(vip))

    def make(client: Client) -> Application:
        def resumed() -> tuple[str, str | None]:
            resumption = node.resumption(client.tls)
            return resumption.outcome.value, resumption.origin

        return Responder(client, about, resumed)

    return make
