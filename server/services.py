"""Turns settings into what listeners need: for each VIP that listens, a `Service` with context and application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network

from meshcache import ConfigError, MeshNode, Settings, VipSettings

from .applications.access_log import AccessLog, Facts, Logged
from .applications.application import Application, Client
from .applications.backends import Backends, Pool
from .applications.forwarding import Forwarding
from .applications.responder import About, Responder
from .connections.routes import Routes, make_routes
from .connections.service import Service
from .tls.certified import Certified, certify

Served = tuple[Service, Sequence[str]]
"""A service and the names that choose it."""


Contexts = dict[str, tuple[Certified, ...]]
"""The contexts of each VIP that listens, by the VIP's name."""


def make_contexts(settings: Settings) -> Contexts:
    """Return the contexts of each VIP that listens, by the VIP's name; none is attached yet.

    Raises ConfigError, which names every fault of every VIP.
    """
    faults: list[str] = []
    contexts: Contexts = {}
    for index, vip in enumerate(settings.vips):
        if vip.listen:
            try:
                contexts[vip.name] = certify(f"vip[{index}]", vip)
            except ConfigError as error:
                faults += error.faults
    faults += _names_taken_twice(settings, contexts)
    if faults:
        raise ConfigError(faults)
    return contexts


def make_services(
    vip: VipSettings,
    contexts: Sequence[Certified],
    settings: Settings,
    node: MeshNode,
    backends: Backends,
    access: AccessLog | None = None,
) -> list[Served]:
    """Return the services of a VIP whose contexts are attached to the node, each with its names;
    the default is the first.
    """
    return [
        (
            make_service(vip, each, settings, node, backends, access),
            [*each.names, *(vip.names if each is contexts[0] else ())],
        )
        for each in contexts
    ]


def make_service(
    vip: VipSettings,
    certified: Certified,
    settings: Settings,
    node: MeshNode,
    backends: Backends,
    access: AccessLog | None = None,
) -> Service:
    """Return the service of one context of a VIP."""
    if vip.backend:
        make = _forwarding_maker(backends.pool(vip, settings.server.connect_timeout_s), node)
    else:
        make = _responder_maker(vip, certified, node)
    logged = access is not None and access.on
    return Service(
        vip=vip.name,
        context=certified.context,
        mesh=node,
        make_application=_logged(make, access, vip.name, node) if access is not None and logged else make,
        handshake_timeout_s=vip.handshake_timeout_s or settings.server.handshake_timeout_s,
        idle_timeout_s=vip.idle_timeout_s or settings.server.idle_timeout_s,
        connections_listed=certified.listed,
        apart=certified.apart,
        starts_at_once=bool(vip.backend) or logged,
    )


def routes_by_key(keys: Iterable[tuple[VipSettings, str]], services: dict[str, list[Served]]) -> dict[str, Routes]:
    """Return what each listener serves, by its key: every VIP that listens there, told apart by server name."""
    by_key: dict[str, list[VipSettings]] = {}
    for vip, key in keys:
        by_key.setdefault(key, []).append(vip)
    routes = {}
    for key, vips in by_key.items():
        default = next((vip for vip in vips if vip.default), vips[0])
        served = [pair for vip in vips for pair in services[vip.name]]
        proxies = tuple(ip_network(network) for network in default.proxy_from)
        routes[key] = make_routes(served, services[default.name][0][0], proxies)
    return routes


def _names_taken_twice(settings: Settings, contexts: Contexts) -> Iterator[str]:
    """Two VIPs of one address with one name: which of them answers would be an accident."""
    first: dict[tuple[str, str], int] = {}
    for index, vip in enumerate(settings.vips):
        names = {name.lower() for each in contexts.get(vip.name, ()) for name in each.names} | set(vip.names)
        for address in (each for each in vip.listen if not each.endswith(":0")):
            for name in sorted(names):
                other = first.setdefault((address, name), index)
                if other != index:
                    yield (
                        f"vip[{index}].certificate: vip[{other}] answers for {name} on {address} already; give one of "
                        "them another address, or certificates that share no name"
                    )


def _logged(
    make: Callable[[Client], Application], access: AccessLog, vip: str, node: MeshNode
) -> Callable[[Client], Application]:
    facts = Facts(vip, node.resumption)
    return lambda client: Logged(client, make, access, facts)


def _forwarding_maker(pool: Pool, node: MeshNode) -> Callable[[Client], Application]:
    def make(client: Client) -> Application:
        return Forwarding(client, pool, lambda: node.resumption(client.tls).outcome.value == "full")

    return make


def _responder_maker(vip: VipSettings, certified: Certified, node: MeshNode) -> Callable[[Client], Application]:
    about = About(server=node.name, colo=node.colo, vip=vip.name, names=certified.answered)

    def make(client: Client) -> Application:
        def resumed() -> tuple[str, str | None]:
            resumption = node.resumption(client.tls)
            return resumption.outcome.value, resumption.origin

        return Responder(client, about, resumed)

    return make
