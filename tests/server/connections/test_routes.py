"""Tests of `server.routes`: exact before wildcard before default, and who is a balancer."""

from __future__ import annotations

from ipaddress import ip_network

from meshcache_server.connections.routes import make_routes
from meshcache_server.connections.service import Service
from OpenSSL import SSL

from tests.server.harness import Tally, respond


def service(name: str) -> Service:
    return Service(name, SSL.Context(SSL.TLS_SERVER_METHOD), Tally(), respond, 10, 60)


def test_exact_comes_before_wildcard_before_default() -> None:
    shop, wild, pay = map(service, ("shop", "wild", "pay"))
    routes = make_routes(
        [(shop, ["Shop.Example."]), (wild, ["*.example"]), (pay, ["pay.example", "*.pay.example"])], shop
    )
    asked = {"shop.example": shop, "pay.example": pay, "a.pay.example": pay, "other.example": wild}
    assert {name: routes.service(name) for name in asked} == asked
    for nobodys in (None, "", "example", "a.b.example", "elsewhere.test"):
        assert routes.service(nobodys) is shop
    assert routes.only is None


def test_an_address_with_one_service_needs_no_name() -> None:
    shop = service("shop")
    assert make_routes([(shop, ["shop.example", "*.shop.example"])], shop).only is shop


def test_a_balancer_is_known_by_its_network_also_in_its_mapped_form() -> None:
    routes = make_routes([], service("shop"), (ip_network("10.0.0.0/8"), ip_network("fd00::/8")))
    assert all(map(routes.expects_header, ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1%eth0")))
    assert not any(map(routes.expects_header, ("192.0.2.1", "::1", "::ffff:192.0.2.1")))
    assert not make_routes([], service("shop")).expects_header("10.1.2.3")
