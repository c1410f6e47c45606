"""What each kind of server wants of ticket keys: how many, in which order, and how one is laid out. Touches nothing.

What the kinds have in common is that one key encrypts and all of them open. A key is derived anew for each kind: none
is used by two, and what one server leaks opens no ticket of another kind.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshcache.core.values.ticket_key import NAME_BYTES, TicketKey

KEY_BYTES: Final = 80
"""Name, HMAC-SHA-256 and AES-256. Servers take 48 as well: AES-128, which no ticket of the mesh's has."""

HAPROXY_KEYS: Final = 3
"""TLS_TICKETS_NO of HAProxy, a constant of its build: it keeps the last three of a file, and wants no fewer."""

CONF: Final = "tickets.conf"
CONF_HEAD: Final = "# Written by meshcache, again at each change: edits are lost. The first key encrypts, all open.\n"

SHOWN_DIGITS: Final = 8
"""Of a key's name: as `tickets show` has it."""


@dataclass(frozen=True, slots=True)
class ServerKey:
    """One key as one kind of server has it. ``key`` is its name in the mesh; empty for one that is nobody's."""

    key: bytes
    name: bytes
    mac: bytes = field(repr=False)
    aes: bytes = field(repr=False)

    @property
    def name_mac_aes(self) -> bytes:
        """As OpenSSL's SSL_CTX_set_tlsext_ticket_keys has it, and nginx."""
        return self.name + self.mac + self.aes

    @property
    def name_aes_mac(self) -> bytes:
        """As HAProxy has it."""
        return self.name + self.aes + self.mac


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server is to have: the keys by rank, the highest first, and the one among them that encrypts.

    Without one that encrypts the server gets a key that nobody else has: its tickets are good on itself alone.
    """

    encrypts: ServerKey | None
    opening: tuple[ServerKey, ...]

    @property
    def stamp(self) -> tuple[bytes, ...]:
        """What changes when the files have to: names of keys, the one that encrypts first."""
        return b"" if self.encrypts is None else self.encrypts.key, *(key.key for key in self.opening)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Files by name, in the order in which they are written: what names others comes after them.

    ``keys`` are those that the server gets, as it is told of them; ``left_out`` is how many that still open it has no
    room for.
    """

    files: dict[str, bytes] = field(repr=False)
    keys: tuple[ServerKey, ...]
    left_out: int = 0

    @property
    def labels(self) -> list[str]:
        """The mesh's names of the keys, for logs. One that fills a place before its own is named once."""
        names = dict.fromkeys(key.key for key in reversed(self.keys) if key.key)
        return [name.hex()[:SHOWN_DIGITS] for name in reversed(names)]


def render(server: str, wanted: Wanted, path: str) -> Rendered:
    """Return the files for a kind of server, whose folder or file is at `path`."""
    return _LAYOUTS[server](wanted, path)


def server_key(key: TicketKey, server: str) -> ServerKey:
    """Return a key of the mesh as this kind of server gets it: the same on every node.

    Called with the core's lock held, since a key may be wiped at any time, and what is derived from zeros anybody has.
    """
    assert not key.wiped, "a ring holds no key that is wiped"
    name = key.derive(f"{server} name", NAME_BYTES)
    return ServerKey(key.name, name, key.derive(f"{server} HMAC-SHA-256"), key.derive(f"{server} AES-256-CBC"))


def nobodys_key() -> ServerKey:
    """Return a random key: what it encrypts, no other server opens."""
    return ServerKey(b"", os.urandom(NAME_BYTES), os.urandom(32), os.urandom(32))


def is_key_file(name: str) -> bool:
    """Return whether a file in nginx's folder is a key of an earlier time."""
    stem, dot, ending = name.partition(".")
    return bool(dot) and ending == "key" and len(stem) == 2 * NAME_BYTES and not set(stem) - set("0123456789abcdef")


def looks_ours(server: str, content: bytes) -> bool:
    """Return whether a file can be what was written for this kind of server, so that it may be replaced."""
    if server == "nginx":
        return content.startswith(CONF_HEAD.encode())
    if server == "haproxy":
        return all(map(_is_haproxy_key, content.splitlines()))
    return len(content) in (0, 48, KEY_BYTES)


def _nginx(wanted: Wanted, path: str) -> Rendered:
    """A file for each key under its name, and the list of them: whoever reads that finds all that it names."""
    keys = _encrypting_first(wanted)
    files = {f"{key.name.hex()}.key": key.name_mac_aes for key in keys}
    lines = "".join(f'ssl_session_ticket_key "{path}/{name}";\n' for name in files)
    return Rendered({**files, CONF: (CONF_HEAD + lines).encode()}, tuple(keys))


def _haproxy(wanted: Wanted, path: str) -> Rendered:
    """Three keys, of which the last but one encrypts and all open: the next one is last, a former one first.

    Where there are fewer, a former one is there twice, or the one that encrypts: while HAProxy is given one after the
    other, the last of those before and then the first of these encrypt, so that neither may be nobody's.
    """
    own, *others = _encrypting_first(wanted)
    room = HAPROXY_KEYS - 1
    formers = wanted.opening[wanted.opening.index(own) + 1 :] if own in wanted.opening else ()
    last, first = [*others, *formers, own, own][:room]
    keys = (first, own, last)
    lines = b"".join(base64.b64encode(key.name_aes_mac) + b"\n" for key in keys)
    return Rendered({os.path.basename(path): lines}, keys, max(len(others) - room, 0))  # noqa: PTH119 - text, no path


def _openssl(wanted: Wanted, path: str) -> Rendered:
    """The one key that OpenSSL itself keeps: when it changes, the tickets of the former one are over."""
    key, *others = _encrypting_first(wanted)
    return Rendered({os.path.basename(path): key.name_mac_aes}, (key,), len(others))  # noqa: PTH119


def _encrypting_first(wanted: Wanted) -> list[ServerKey]:
    others = (key for key in wanted.opening if wanted.encrypts is None or key.key != wanted.encrypts.key)
    return [wanted.encrypts or nobodys_key(), *others]


def _is_haproxy_key(line: bytes) -> bool:
    try:
        return len(base64.b64decode(line, validate=True)) in (48, KEY_BYTES)
    except ValueError:
        return False


_LAYOUTS: Final[dict[str, Callable[[Wanted, str], Rendered]]] = {
    "nginx": _nginx,
    "haproxy": _haproxy,
    "openssl": _openssl,
}

FORMATS: Final[Sequence[str]] = tuple(_LAYOUTS)
