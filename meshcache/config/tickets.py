"""What can be configured for servers of other kinds that get their ticket keys from the mesh: which files, whose, and
how they are told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from meshcache.config.table import Table
from meshcache.config.values import SOCKET_PATH_BYTES_MAX, FilePath, Name, Number, shown
from meshcache.config.vip import VipSettings
from meshcache.core.policy.gates import ReachKind

EXPORTS_MAX = 64
"""As many as a node has VIPs; each takes a thread."""

COMMAND_WORDS_MAX = 64

SETTLE_S_MAX = 240
"""A former key may encrypt for five minutes after its time (`Limits.ticket_overrun_s`), of which a minute is for the
next key to reach everybody."""

_UNQUOTABLE = frozenset("\"'\\$;{}")
"""What would end or change a path in the configuration that includes it."""


def _words(plain: object) -> object:
    """Take text as a shell would split it; no shell runs it."""
    if isinstance(plain, str):
        try:
            return shlex.split(plain)
        except ValueError as error:
            raise ValueError(f"{shown(plain)} can't be split into words ({error}); write a list") from None
    return plain


class ExportSettings(Table):
    """One place where ticket keys go for a server of another kind."""

    vip: Name = Field(examples=["shop"])
    """The VIP whose keys these are; ``resumption`` says that it has tickets."""

    format: Literal["nginx", "haproxy", "openssl", "hitch"] = Field(examples=["nginx"])
    """The kind of server that reads them."""

    path: FilePath = Field(examples=["/run/meshcache/shop"])
    """A folder for nginx, with a file for each key and ``tickets.conf``, which includes them; a file for others. In
    memory, such as below /run: a disk keeps what was deleted."""

    command: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        default=(), max_length=COMMAND_WORDS_MAX, examples=[["systemctl", "reload", "nginx"]]
    )
    """What makes the server read them: run after each change, without a shell, for at most half a minute. It fails
    when its exit status isn't 0, and is then tried again."""

    haproxy_socket: FilePath | None = Field(default=None, examples=["/run/haproxy/admin.sock"])
    """HAProxy's runtime API (``stats socket PATH level admin``), by which it takes keys without a reload."""

    owner: str | None = Field(default=None, min_length=1, max_length=64, examples=["nginx"])
    """The user that the files are given to, which needs root. Default: the one that runs."""

    group: str | None = Field(default=None, min_length=1, max_length=64, examples=["ssl-cert"])
    """A group that may read the files: their mode is 0640 then. Default: none, and 0600."""

    settle_s: Number = Field(default=10.0, ge=0, le=SETTLE_S_MAX, examples=[10])
    """How long after every node of the ring has a key this server begins to encrypt with it: as long as the slowest of
    the others takes to read its files."""

    @field_validator("format", mode="after")
    @classmethod
    def _takes_keys(cls, server: str) -> str:
        if server == "hitch":
            raise ValueError(
                "Hitch (1.7.2) takes no ticket keys (varnish/hitch#182), so its hosts can't share them; put "
                'nginx or HAProxy there, or `meshcache serve`. There is "nginx", "haproxy", "openssl"'
            )
        return server

    @field_validator("command", mode="after")
    @classmethod
    def _is_runnable(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if (words and not words[0]) or any("\0" in word for word in words):
            raise ValueError("a command begins with a program's name, and has no zero bytes")
        return words

    @model_validator(mode="after")
    def _parts_go_together(self) -> ExportSettings:
        if self.haproxy_socket is not None:
            if self.format != "haproxy":
                raise ValueError('haproxy_socket is for format = "haproxy"')
            if self.command:
                raise ValueError("haproxy_socket and command are two ways to tell one server; leave one out")
            if len(bytes(self.haproxy_socket)) > SOCKET_PATH_BYTES_MAX:
                raise ValueError(f"haproxy_socket is over {SOCKET_PATH_BYTES_MAX} bytes long, which no socket may be")
        text = str(self.path)
        if not text.isprintable() or any(character.isspace() or character in _UNQUOTABLE for character in text):
            raise ValueError(
                f"path {shown(text)}: the server's own file has to name it, so leave out spaces and quotes"
            )
        return self


class TicketsSettings(Table):
    """Ticket keys outside this process."""

    export: tuple[ExportSettings, ...] = Field(default=(), max_length=EXPORTS_MAX)


def export_faults(exports: Sequence[ExportSettings], vips: Sequence[VipSettings]) -> Iterator[str]:
    """Check that each export is of a VIP whose keys may leave the process, and goes to a place of its own."""
    known = {vip.name: vip for vip in vips}
    places: dict[Path, int] = {}
    for at, export in enumerate(exports):
        vip = known.get(export.vip)
        if vip is None:
            there_is = ", ".join(known) or "none"
            yield f'tickets.export[{at}].vip: there is no VIP "{export.vip}" in this file; there is: {there_is}'
        elif (why := why_not_exported(vip)) is not None:
            yield f'tickets.export[{at}].vip: VIP "{vip.name}" {why}'
        if export.path in places:
            yield f"tickets.export[{at}].path: tickets.export[{places[export.path]}] writes to {export.path} too"
        places.setdefault(export.path, at)


def why_not_exported(vip: VipSettings) -> str | None:
    """Return why no other server may have a VIP's ticket keys, in words; None when it may.

    The others open whatever their keys open: what we look at in each ticket, they don't.
    """
    if vip.resumption == "sessions":
        return 'has no ticket keys: set its resumption to "tickets" (or "both")'
    if vip.sharing.reach.kind is ReachKind.SERVER:
        return 'has sharing.reach = "server", so its keys never leave this process'
    if vip.client_auth is not None:
        return (
            "asks for client certificates, which other servers don't look at again when a ticket resumes; its keys "
            "stay here"
        )
    return None
