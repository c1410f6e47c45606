#!/usr/bin/env bash
# python-zeroconf 0.154.0: an interface given as an IPv6 address with its index, which the type of `interfaces` allows, is
# dropped without a word, and the instance speaks and hears nothing.
#
# `InterfacesType` takes text, an index, or ((address, flow, scope), index), the form in which zeroconf itself keeps IPv6
# interfaces. Only the first two are looked at. Seen on loopback: the index 1 gives one socket to send from, the same
# interface in the long form gives none; no exception, no line in the log, and registering a service succeeds.
#
# Exits 1 if that changes. Needs python3.11 or later and the network for pip; speaks on ::1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check -qq install zeroconf==0.154.0
"$folder/venv/bin/python" - <<'PROGRAM'
import logging
import socket
import typing

import zeroconf
from zeroconf._utils import net

logging.basicConfig(level=logging.INFO)
index = socket.if_nametoindex("lo")
long_form = (("::1", 0, 0), index)
allowed = "tuple[tuple[str, int, int], int]" in str(typing.get_args(net.InterfacesType))


def senders(interface: object) -> int:
    """How many sockets an instance on this interface sends from, once a service is registered on it."""
    instance = zeroconf.Zeroconf(interfaces=[interface], ip_version=zeroconf.IPVersion.V6Only)
    try:
        service = zeroconf.ServiceInfo("_finding._tcp.local.", "one._finding._tcp.local.", 7946, addresses=["::1"])
        instance.register_service(service)
        return len(instance.engine.senders)
    finally:
        instance.close()


counts = senders(index), senders(long_form)
print(f"zeroconf {zeroconf.__version__}: the long form is of the allowed type: {allowed}; senders by index {counts[0]}, by long form {counts[1]}")
raise SystemExit(not (allowed and counts == (1, 0)))
PROGRAM
