"""What runs in a namespace for tests of mDNS: speaks it and prints whom it finds, asks as doctor does, checks as check.

python -m tests.chaos.neighbour speak PORT INTERFACE...   until its input ends
python -m tests.chaos.neighbour ask PORT INTERFACE...     whether who is at that port answers on all of them
python -m tests.chaos.neighbour check INTERFACE...        the faults that `check` finds with them
python -m tests.chaos.neighbour addresses JSON            the faults that it finds with [mesh]
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from meshcache import Settings
from meshcache.checks.addresses import address_faults
from meshcache.config.values import join_address
from meshcache.doctor.mdns import answers
from meshcache.edges.discovery import Announcement, MdnsDiscovery


def main(what: str, *arguments: str) -> None:
    """Do one of the four."""
    logging.basicConfig(stream=sys.stderr)
    if what == "check":
        print([fault for fault in _faults({"interfaces": arguments, "listen": "127.0.0.1:0"}) if "interfaces" in fault])
        return
    if what == "addresses":
        print("\n".join(_faults(json.loads(arguments[0]))))
        return
    port, interfaces = int(arguments[0]), arguments[1:]
    if what == "ask":
        print([answers(interface, port) for interface in interfaces])
        return
    addresses = [join_address(interface, port) for interface in interfaces]
    discovery = MdnsDiscovery(
        Announcement(addresses, "test", ["a" * 16]), interfaces, lambda found: print(found, flush=True)
    )
    discovery.start()
    sys.stdin.read()
    discovery.close()


def _faults(mesh: dict[str, Any]) -> list[str]:
    return address_faults(Settings.model_validate({"mesh": mesh, "admin": {"socket": False}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
