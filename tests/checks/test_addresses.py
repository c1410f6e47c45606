"""Addresses are tried, and each that can't be had is named with its place and the reason."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from meshcache.checks import address_faults
from meshcache.config import Settings, read_settings


def settings(listen: str, **tables: Any) -> Settings:
    vip = {"name": "shop", "listen": [listen], "certificate": "x", "private_key": "x"}
    return read_settings({"vip": [vip], "mesh": {"listen": "127.0.0.1:0", "mdns": False}, **tables}, Path("/"))


def test_free_addresses_have_no_fault_and_stay_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    assert address_faults(settings(address)) == []
    assert address_faults(settings(address)) == []


def test_an_address_in_use_is_named_wherever_it_stands() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        faults = address_faults(settings(address))
        assert faults == [
            f"vip[0].listen[0]: {address} is in use by another process; stop it or choose another address or port"
        ]
        for tables in ({"mesh": {"listen": address, "mdns": False}}, {"admin": {"http": address}}):
            places = [fault.partition(":")[0] for fault in address_faults(settings("127.0.0.1:0", **tables))]
            assert places == [next(iter(tables)) + (".listen" if "mesh" in tables else ".http")]


def test_an_address_of_another_machine_is_told_apart() -> None:
    assert "192.0.2.1:443 is no address of this machine" in address_faults(settings("192.0.2.1:443"))[0]


def test_interfaces_of_another_machine_matter_only_where_mdns_is_spoken() -> None:
    mesh = {"listen": "127.0.0.1:0", "interfaces": ["127.0.0.1", "192.0.2.1"]}
    assert address_faults(settings("127.0.0.1:0", mesh=mesh)) == [
        "mesh.interfaces[1]: 192.0.2.1 is no address of this machine"
    ]
    assert address_faults(settings("127.0.0.1:0", mesh={**mesh, "mdns": False})) == []


def test_an_advertised_address_that_leads_peers_to_themselves_is_a_fault() -> None:
    mesh = {"listen": "0.0.0.0:0", "advertise": "127.0.0.1:7946", "mdns": False}
    (fault,) = address_faults(settings("127.0.0.1:0", mesh=mesh))
    assert fault.startswith("mesh.advertise: 127.0.0.1 is loopback, which leads every peer to itself")
    assert address_faults(settings("127.0.0.1:0", mesh={**mesh, "listen": "127.0.0.1:0"})) == []


def test_an_advertised_name_that_is_none_is_a_fault() -> None:
    mesh = {"listen": "0.0.0.0:0", "advertise": "absent.invalid:7946", "mdns": False}
    (fault,) = address_faults(settings("127.0.0.1:0", mesh=mesh))
    assert fault.startswith("mesh.advertise: absent.invalid can't be resolved")
