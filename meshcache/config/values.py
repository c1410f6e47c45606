"""The kinds of value that the configuration has beside numbers and truth: names, addresses, sizes, shares, paths.

Each parser takes what TOML gave and returns the value, or raises ValueError with a sentence that says what would be
right. None of them looks at the machine.
"""

# A parser raises ValueError for a wrong type too: that is what pydantic collects.
# ruff: noqa: TRY004

from __future__ import annotations

import os
import re
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AllowInfNan, BeforeValidator, PlainValidator, Strict, ValidationInfo

from meshcache.core.policy.gates import COPIES_MAX, Reach
from meshcache.core.policy.scope import normal_name

NAME_CHARS_MAX = 64
"""Names of nodes, colos, VIPs and groups travel in every hello; `core.policy` holds colos to the same length."""

HOST_CHARS_MAX = 253
"""RFC 1035 section 2.3.4 allows 255 octets on the wire, which is 253 characters in writing."""

WORKERS_MAX = 64
"""Processes of one server; more than one for each core is of no use."""

SOCKET_PATH_BYTES_MAX = 107
"""`sun_path` of Linux has 108 bytes and ends with a zero (unix(7))."""

CREDENTIALS = "$CREDENTIALS_DIRECTORY"
"""The only variable that a path may begin with: where systemd puts a service's secrets (systemd.exec(5))."""

BACKEND_WEIGHT_MAX = 256
"""As haproxy's; what differs by more than that isn't one pool."""

HOOK_CHARS_MAX = 200
"""A module's path and a name in it."""

_HOOK = re.compile(r"[A-Za-z0-9_.-]+(?::[A-Za-z_][A-Za-z0-9_.]*)?")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_name(plain: object) -> str:
    """Return a name of a node, colo, mesh, VIP or group: letters, digits, dot, dash and underscore."""
    if isinstance(plain, str) and len(plain) <= NAME_CHARS_MAX and _NAME.fullmatch(plain):
        return plain
    raise ValueError(
        f"a name is 1 to {NAME_CHARS_MAX} letters, digits, dots, dashes or underscores, "
        f"with a letter, digit or underscore at both ends, not {shown(plain)}"
    )


def parse_host_name(plain: object) -> str:
    """Return a server name as clients send it in the SNI, in lower case (RFC 6066 section 3)."""
    if not isinstance(plain, str):
        raise ValueError(f'a server name is a string such as "shop.example", not {shown(plain)}')
    if "*" in plain:
        raise ValueError(
            f"{shown(plain)} has a wildcard; list the names that clients ask for (a certificate may have wildcards)"
        )
    if not plain.isascii():
        raise ValueError(f"{shown(plain)} must be in its ASCII form, which begins with xn--")
    if not _is_host(plain.removesuffix(".")):
        raise ValueError(f'{shown(plain)} is no host name; it looks like "shop.example"')
    return normal_name(plain)


def parse_bind(plain: object) -> str:
    """Return an address to listen on: an IP address of this machine and a port, 0 for any free one."""
    host, port = _parse_address(plain, 'an address to listen on looks like "0.0.0.0:8443" or "[::1]:8443"')
    if not _is_ip(host):
        raise ValueError(f"{shown(plain)} must begin with an IP address of this machine, or 0.0.0.0 or [::] for all")
    return join_address(host, port)


def parse_target(plain: object) -> str:
    """Return an address to connect to: a host name or an IP address, and a port."""
    host, port = _parse_address(plain, 'an address looks like "127.0.0.1:8080" or "app.internal:8080"')
    if port == 0:
        raise ValueError(f"{shown(plain)} has port 0, which nobody can connect to; ports are 1 to 65535")
    if _is_ip(host) and ip_address(host).is_unspecified:
        raise ValueError(f"{shown(plain)} is an address to listen on, nobody can connect to it; name one machine")
    return join_address(host, port)


def parse_backend(plain: object) -> str:
    """Return where plain bytes go: an address to connect to, or ``unix:/path`` of a socket on this machine; behind it
    may stand ``weight=N``, as nginx and haproxy write it. `split_backend` takes it apart.
    """
    text = plain if isinstance(plain, str) else ""
    target, space, weight = text.rpartition(" ")
    if space and weight.startswith("weight="):
        number = weight.partition("=")[2]
        if not (number.isascii() and number.isdigit() and len(number) <= 3 and int(number) <= BACKEND_WEIGHT_MAX):
            raise ValueError(f"a weight is 0 to {BACKEND_WEIGHT_MAX}, as in weight=2, not {shown(weight)}")
        return f"{parse_backend_target(target.rstrip())} weight={int(number)}"
    return parse_backend_target(plain)


def parse_backend_target(plain: object) -> str:
    """Return a backend without its weight."""
    text = plain if isinstance(plain, str) else ""
    if not text.startswith("unix:"):
        return parse_target(plain)
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path or len(path.encode()) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(
            f'a Unix socket is named as "unix:/run/shop.sock", with at most {SOCKET_PATH_BYTES_MAX} bytes of path, not '
            f"{shown(plain)}"
        )
    return text


def parse_seed(plain: object) -> str:
    """Return an address of a node to begin with, or ``dns:HOST:PORT`` for every address behind one DNS name."""
    text = plain if isinstance(plain, str) else ""
    if text.startswith("dns:"):
        return "dns:" + parse_target(text.removeprefix("dns:"))
    return parse_target(plain)


def parse_ip(plain: object) -> str:
    """Return an IP address of one of this machine's interfaces."""
    if isinstance(plain, str) and _is_ip(plain):
        return str(ip_address(plain))
    raise ValueError(f'an interface is named by its IP address, such as "10.0.0.4", not {shown(plain)}')


def parse_network(plain: object) -> str:
    """Return a network of IP addresses such as ``10.0.0.0/8``; a single address is a network of one."""
    if isinstance(plain, str):
        with suppress(ValueError):
            return str(ip_network(plain, strict=False))
    raise ValueError(f'a network looks like "10.0.0.0/8" or "fd00::/8", not {shown(plain)}')


def parse_hook(plain: object) -> str:
    """Return a hook's name: that of an entry point, or ``module:Class``."""
    if isinstance(plain, str) and len(plain) <= HOOK_CHARS_MAX and _HOOK.fullmatch(plain):
        return plain
    raise ValueError(f'a hook is named by its entry point, or as "module:Class", not {shown(plain)}')


def parse_size(plain: object) -> int:
    """Return bytes, from a whole number or from text such as ``"64MiB"``."""
    if isinstance(plain, int) and not isinstance(plain, bool) and plain >= 0:
        return plain
    match = _SIZE.fullmatch(plain.strip()) if isinstance(plain, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f'a size is text such as "64MiB", or a number of bytes, not {shown(plain)}')
    return int(float(match[1]) * _UNITS[match[2].lower()])


def parse_share(plain: object) -> float:
    """Return a part of the whole, above 0 and at most 1, from text such as ``"25%"`` or from a fraction."""
    share: float | None = None
    if isinstance(plain, str) and (match := _SHARE.fullmatch(plain.strip())):
        share = float(match[1]) / 100
    elif isinstance(plain, (int, float)) and not isinstance(plain, bool):
        share = float(plain)
    if share is None or not 0 < share <= 1:
        raise ValueError(f'a share is text such as "25%", above 0% and at most 100%, not {shown(plain)}')
    return share


def parse_reach(plain: object) -> Reach:
    """Return a `Reach`, in any of the forms of ``vip.sharing.reach``; every colo must be a name."""
    if isinstance(plain, Reach):
        return plain
    reach = Reach.parse(plain)
    for colo in reach.colos:
        parse_name(colo)
    return reach


def listed(plain: object) -> object:
    """Take a single string as a list of one, so that ``--set vip.shop.listen=127.0.0.1:8444`` says enough."""
    return [plain] if isinstance(plain, str) else plain


def split_backend(backend: str) -> tuple[str, int]:
    """Target and weight of a checked backend; one that names no weight has 1."""
    target, space, weight = backend.rpartition(" weight=")
    return (target, int(weight)) if space else (backend, 1)


class PortRange(NamedTuple):
    """Ports from the first to the last, both among them."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def parse_ports(plain: object) -> PortRange:
    """Return the ports that ``"7947-7962"`` names."""
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", plain, re.ASCII) if isinstance(plain, str) else None
    if found is None:
        raise ValueError(f'ports look like "7947-7962", not {shown(plain)}')
    ports = PortRange(int(found[1]), int(found[2]))
    if not 1 <= ports.first <= ports.last <= 65535:
        raise ValueError(f"{shown(plain)} is no range of ports: they are 1 to 65535, the lower one first")
    return ports


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a checked address; an IPv6 host comes without its brackets."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def join_address(host: str, port: int) -> str:
    """Return the written form of an address; `split_address` is its inverse."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown(plain: object) -> str:
    """Return a value as it is repeated in a fault: as TOML would have it, and never long."""
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, dict):
        return "a table"
    if isinstance(plain, int) and plain.bit_length() > 256:
        return "a number of that many digits"  # Python refuses to write out the longest (CVE-2020-10735)
    text = f'"{plain}"' if isinstance(plain, str) else str(plain)
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= 60 else printable[:57] + "..."


def _parse_address(plain: object, right: str) -> tuple[str, int]:
    if not isinstance(plain, str):
        raise ValueError(f"{right}, not {shown(plain)}")
    host, colon, port = plain.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    if colon and port.isascii() and port.isdigit() and not _is_port(port):
        raise ValueError(f"{shown(plain)} has a port that is too large; ports are 1 to 65535")
    if not (colon and _is_port(port) and (_is_ip(bare) or _is_host(bare)) and bracketed == (":" in bare)):
        raise ValueError(f"{right}, not {shown(plain)}")
    return (str(ip_address(bare)) if _is_ip(bare) else bare.lower()), int(port)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    labels = text.split(".")
    return len(text) <= HOST_CHARS_MAX and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def _parse_path(plain: object, info: ValidationInfo) -> Path:
    """Return a path; a relative one counts from the folder of the file that names it."""
    if not isinstance(plain, (str, Path)) or not str(plain) or "\0" in str(plain):
        raise ValueError(f'a path is text such as "state/admin.sock", not {shown(plain)}')
    base: Path = (info.context or {}).get("base", Path())
    text = str(plain)
    if text.startswith(CREDENTIALS + "/"):
        folder = os.environ.get(CREDENTIALS.removeprefix("$"))
        if not folder:
            raise ValueError(
                f"{shown(plain)}: systemd has set no {CREDENTIALS}; name it with LoadCredential= in the unit"
            )
        return Path(folder) / text.removeprefix(CREDENTIALS + "/")
    return (base / plain).absolute()


def _false_is_none(plain: object) -> object:
    return None if plain is False else plain


def _stdout_or_file(plain: object) -> object:
    return "/dev/stdout" if plain == "stdout" else _false_is_none(plain)


def parse_workers(plain: object) -> int:
    """A number of processes; "auto" is one for each core that this process may use."""
    if plain == "auto":
        return min(len(os.sched_getaffinity(0)), WORKERS_MAX)
    if isinstance(plain, int) and not isinstance(plain, bool) and 1 <= plain <= WORKERS_MAX:
        return plain
    raise ValueError(f'{shown(plain)}: give 1 to {WORKERS_MAX} processes, or "auto" for as many as there are cores')


Name = Annotated[str, BeforeValidator(parse_name)]
HostName = Annotated[str, BeforeValidator(parse_host_name)]
Bind = Annotated[str, BeforeValidator(parse_bind)]
Target = Annotated[str, BeforeValidator(parse_target)]
BackendTarget = Annotated[str, BeforeValidator(parse_backend)]
Ports = Annotated[PortRange, BeforeValidator(parse_ports)]
Seed = Annotated[str, BeforeValidator(parse_seed)]
InterfaceAddress = Annotated[str, BeforeValidator(parse_ip)]
Network = Annotated[str, BeforeValidator(parse_network)]


def parse_copies(plain: object) -> int | Literal["all"]:
    """Return how many copies of a session a colo is to hold."""
    if plain == "all":
        return "all"
    if type(plain) is not int or not 1 <= plain <= COPIES_MAX:
        raise ValueError(f'copies is "all" or a number from 1 to {COPIES_MAX}, such as 3')
    return plain


Copies = Annotated[int | Literal["all"], PlainValidator(parse_copies)]
HookName = Annotated[str, BeforeValidator(parse_hook)]
Size = Annotated[int, BeforeValidator(parse_size)]
Share = Annotated[float, BeforeValidator(parse_share)]
ReachValue = Annotated[Reach, PlainValidator(parse_reach)]
FilePath = Annotated[Path, BeforeValidator(_parse_path)]
AccessFile = Annotated[FilePath | None, BeforeValidator(_stdout_or_file)]
FilePathOrOff = Annotated[FilePath | None, BeforeValidator(_false_is_none)]
Listed = BeforeValidator(listed)
Workers = Annotated[int, BeforeValidator(parse_workers)]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), AllowInfNan(False)]
Truth = Annotated[bool, Strict()]
