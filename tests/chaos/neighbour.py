"""What runs in a namespace for tests of mDNS: speaks it and prints whom it finds, asks as doctor does, checks as check.

python -m tests.chaos.neighbour speak PORT INTERFACE...   until its input ends
python -m tests.chaos.neighbour ask PORT INTERFACE...     whether who is at that port answers on all of them
python -m tests.chaos.neighbour check INTERFACE...        the faults that `check` finds with them
"""

from __future__ import annotations

import logging
import sys

from meshcache import Settings
from meshcache.checks.addresses import address_faults
from meshcache.config.values import join_address
from meshcache.doctor.mdns import answers
from meshcache.edges.discovery import Announcement, Discovery


def main(what: str, *arguments: str) -> None:
    """Do one of the three."""
    logging.basicConfig(stream=sys.stderr)
    if what == "check":
        settings = Settings.model_validate({"mesh": {"interfaces": list(arguments), "listen": "127.0.0.1:0"}})
        print([fault for fault in address_faults(settings) if "interfaces" in fault])
        return
    port, interfaces = int(arguments[0]), arguments[1:]
    if what == "ask":
        print([answers(interface, port) for interface in interfaces])
        return
    addresses = [join_address(interface, port) for interface in interfaces]
    discovery = Discovery(
        Announcement(addresses, "test", ["a" * 16]), interfaces, lambda found: print(found, flush=True)
    )
    discovery.start()
    sys.stdin.read()
    discovery.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
