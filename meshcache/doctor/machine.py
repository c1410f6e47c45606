"""Looks at this machine: can its OpenSSL be hooked, does multicast work, are there files enough, is its clock set."""

from __future__ import annotations

import ctypes
import os
import resource
import secrets
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from OpenSSL import SSL

import meshcache.hot as hot
from meshcache.checks.folders import nearest, why_not_taken
from meshcache.config import Settings
from meshcache.doctor.finding import Finding, fine, note, problem, skipped
from meshcache.edges.own_addresses import present
from meshcache.errors import HookError
from meshcache.tls import libssl
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.trial import prove

GROUP_V4: Final = "224.0.0.251"
GROUP_V6: Final = "ff02::fb"
"""mDNS's own groups (RFC 6762 section 3), on a port of ours: nobody's traffic is disturbed."""

MULTICAST_S: Final = 1.0
"""How long our own datagram may take to come back to us; it takes microseconds."""

FILES_BESIDES: Final = 256
"""Open files that a server needs besides its connections and links: listeners, admin, libraries."""

FILES_PER_LINK: Final = 5
"""ZeroMQ's sockets and their signalling, both directions."""

YEAR_MIN: Final = 2026
"""A clock before this release was never set."""

_STA_UNSYNC = 0x0040
_TIMEX_BYTES = 208
"""STA_UNSYNC of <linux/timex.h>; the size of its struct timex on 64-bit Linux."""


def hot_path_finding() -> Finding:
    """Check whether handshakes take the compiled path, which costs less CPU."""
    if hot.compiled is not None:
        return fine("hot path", "compiled: a session is found and filed without Python")
    do = f"unset {hot.PURE}" if os.environ.get(hot.PURE) else "install gcc and python3-dev, then meshcache again"
    return note("hot path", f"{hot.described()}; handshakes take more CPU", do)


def server_steps_finding(steps: str) -> Finding:
    """Judge which way the bundled server's connections go, ``c`` or ``python``."""
    if steps == "c":
        return fine("server", "compiled: sockets and handshakes are driven without Python")
    do = f"unset {hot.PURE}" if os.environ.get(hot.PURE) else "install gcc and python3-dev, then meshcache again"
    return note("server", "in Python; connections take more CPU", do)


def hook_findings() -> Iterator[Finding]:
    """Check whether the OpenSSL of pyOpenSSL, and that of Python's ssl, can be hooked, each by a trial handshake."""
    for name, make in (
        ("pyOpenSSL", lambda: SSL.Context(SSL.TLS_SERVER_METHOD)),
        ("Python's ssl", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
    ):
        try:
            library = libssl.find(make()).library
            prove(Callbacks(library.functions))
        except HookError as error:
            do = "install what the message names" if name == "pyOpenSSL" else "only matters to programs that use it"
            yield (problem if name == "pyOpenSSL" else note)(f"hooks of {name}", str(error), do)
        else:
            yield fine(f"hooks of {name}", f"sessions are shared and resume, with {library.version}")


def multicast_findings(settings: Settings) -> Iterator[Finding]:
    """Check whether a datagram to mDNS's group comes back on each interface where mDNS is spoken."""
    if not settings.mesh.mdns:
        yield skipped("multicast", "mesh.mdns is off: peers are found by seeds")
        return
    for interface in settings.mesh.interfaces:
        reason = multicast_fault(interface)
        if reason:
            yield problem(
                "multicast",
                f"nothing comes back from {interface}: {reason}",
                "allow UDP to 224.0.0.251 on that interface, or list mesh.seeds: clouds and container networks often "
                "have no multicast at all",
            )
        else:
            yield fine("multicast", f"works on {interface}, as far as this machine can tell")


def multicast_fault(interface: str) -> str:
    """Send ourselves a datagram by multicast over an interface; what went wrong, or nothing."""
    token = secrets.token_bytes(16)
    v6 = ip_address(interface).version == 6
    try:
        with ExitStack() as stack:
            receiver, sender = (stack.enter_context(_socket(v6)) for _ in range(2))
            group = _join(receiver, interface, v6)
            speak_on(sender, interface, v6)
            sender.sendto(token, group)
            return "" if _heard(receiver, token) else f"our own datagram did not arrive within {MULTICAST_S:.0f} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def file_limit_finding(settings: Settings, peers: int, limit: int | None = None, whose: str = "this user") -> Finding:
    """Check whether so many files may be open as the connections and links need. ``limit`` None:
    this process's hard one.
    """
    if limit is None:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    each = 2 if any(vip.backend for vip in settings.vips) else 1
    serves = any(vip.listen for vip in settings.vips)
    connections = settings.server.max_connections * each if serves else 0
    needed = connections + FILES_PER_LINK * peers + FILES_BESIDES
    if limit == resource.RLIM_INFINITY or limit >= needed:
        shown = "any number" if limit == resource.RLIM_INFINITY else f"{limit:,}"
        return fine("open files", f"{whose} may have {shown}, and {needed:,} are enough")
    return problem(
        "open files",
        f"{whose} may have {limit:,}, and {connections:,} for connections, {peers} peers and the rest need {needed:,}",
        f"raise LimitNOFILE= in the unit (or ulimit -n) to {needed}, or lower server.max_connections",
    )


def files_of_process(pid: int) -> int | None:
    """Return how many files a process may have open, by its hard limit;
    None where the kernel doesn't tell us (proc(5)).
    """
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        hard = next(line.split()[4] for line in lines if line.startswith("Max open files"))
        return resource.RLIM_INFINITY if hard == "unlimited" else int(hard)
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def clock_findings() -> Iterator[Finding]:
    """Check whether this machine's clock was ever set, and whether the kernel knows it to be kept right."""
    year = time.gmtime().tm_year
    if year < YEAR_MIN:
        yield problem("clock", f"it says {year}: it was never set", "set it, and run an NTP client such as chrony")
        return
    synchronised = _is_synchronised()
    if synchronised is None:
        yield skipped("clock", "the kernel does not say whether it is kept right")
    elif synchronised:
        yield fine("clock", "kept right, says the kernel")
    else:
        yield note(
            "clock",
            "nothing keeps it right, says the kernel",
            "run an NTP client such as chrony; containers and virtual machines may be kept right from outside",
        )


def state_finding(settings: Settings) -> Finding:
    """Check whether live policies could be kept."""
    folder = settings.node.state_dir
    if folder is None:
        return note("state folder", "there is none (node.state_dir = false): a restart forgets live policies and peers")
    there = nearest(folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK) and why_not_taken(there) is None:
        return fine("state folder", f"{folder} can be written")
    return problem(
        "state folder",
        f"{folder} can't be written: {there} is {_why_not_writable(there)}",
        "mount or name a folder that the user who runs the node may write to, or set node.state_dir = false",
    )


def _why_not_writable(path: Path) -> str:
    if not path.is_dir():
        return "no folder"
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "read-only"
    return "not for files" if os.access(path, os.W_OK | os.X_OK) else "not for this user"


def _socket(v6: bool) -> socket.socket:
    return socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)


def _join(receiver: socket.socket, interface: str, v6: bool) -> tuple[str, int]:
    """Begin to hear the group on an interface; where to send to."""
    receiver.settimeout(MULTICAST_S)
    receiver.bind(("::" if v6 else "0.0.0.0", 0))  # noqa: S104 - membership decides what is heard
    if v6:
        membership = socket.inet_pton(socket.AF_INET6, GROUP_V6) + struct.pack("@I", _index_of(interface))
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    else:
        membership = socket.inet_aton(GROUP_V4) + socket.inet_aton(interface)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return (GROUP_V6 if v6 else GROUP_V4), receiver.getsockname()[1]


def speak_on(sender: socket.socket, interface: str, v6: bool) -> None:
    if v6:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, _index_of(interface))
    else:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))


def _index_of(interface: str) -> int:
    """Return the kernel's number of the interface with an address."""
    number = next((address.number for address in present([interface])), None)
    if number is None:
        raise OSError(f"no interface has {interface}")
    return number


def _heard(receiver: socket.socket, token: bytes) -> bool:
    deadline = time.monotonic() + MULTICAST_S
    while time.monotonic() < deadline:
        try:
            if receiver.recv(64) == token:
                return True
        except TimeoutError:
            return False
    return False


def _is_synchronised() -> bool | None:
    """adjtimex(2) with nothing to adjust; None where there is none."""
    if sys.platform != "linux":
        return None
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        if ctypes.CDLL(None).adjtimex(timex) < 0:
            return None
    except (OSError, AttributeError):
        return None
    # struct timex: modes (int), padding, offset, freq, maxerror, esterror (longs), status (int).
    return not struct.unpack_from("@i", timex.raw, 40)[0] & _STA_UNSYNC
