"""Which VIP, and which of its certificates, answers for a server name on one address: exact, wildcard, default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from .service import Service

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Routes:
    """What is served on one address. ``only`` is its one service where no name has to be known before the handshake;
    connections from ``proxies`` begin with a PROXY header."""

    default: Service
    only: Service | None = None
    exact: dict[str, Service] = field(default_factory=dict)
    parents: dict[str, Service] = field(default_factory=dict)
    proxies: tuple[Network, ...] = ()

    def service(self, name: str | None) -> Service:
        """Return the service for a server name in lower case; the default for a name that nobody has, and for none."""
        if name is None:
            return self.default
        return self.exact.get(name) or self.parents.get(name.partition(".")[2]) or self.default

    def expects_header(self, host: str) -> bool:
        """Return whether connections from this IP address begin with a PROXY header."""
        if not self.proxies:
            return False
        address = ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.proxies)


def make_routes(
    served: Iterable[tuple[Service, Sequence[str]]], default: Service, proxies: tuple[Network, ...] = ()
) -> Routes:
    """Return routes over services and the names of each; where two have a name, the first one has it."""
    exact: dict[str, Service] = {}
    parents: dict[str, Service] = {}
    for service, names in served:
        for name in names:
            normal = name.lower().removesuffix(".")
            if normal.startswith("*."):
                parents.setdefault(normal[2:], service)
            else:
                exact.setdefault(normal, service)
    services = {id(service) for service in (default, *exact.values(), *parents.values())}
    return Routes(default, default if len(services) == 1 else None, exact, parents, proxies)
