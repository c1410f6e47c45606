"""Hosts that are network namespaces on one bridge, which loses packets and falls apart on command.

A network namespace each for the switch and every host, named after this process, so that nothing outside is touched and
deleting them takes everything along. Packets are lost by nftables where they come in: that needs no netem.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from types import TracebackType
from typing import Self

NETWORK = "10.77.0"
"""Only seen in namespaces of our own, so it can't clash with anybody's."""

_TABLE = "table inet chaos {\n chain input {\n type filter hook input priority 0;\n }\n}\n"


class NamespacesError(Exception):
    """This machine, or this user, can't make network namespaces with bridges and filters in them."""


class CommandError(Exception):
    """A command of ours failed: a fault in the test."""


class Lan:
    """`count` hosts on a bridge. Raises NamespacesError, with nothing left behind, where that can't be had."""

    def __init__(self, count: int) -> None:
        if missing := [program for program in ("ip", "nft") if shutil.which(program) is None]:
            raise NamespacesError(f"{' and '.join(missing)} missing: apt-get install iproute2 nftables")
        self._switch = f"mc{os.getpid()}-sw"
        self._names = [f"mc{os.getpid()}-{at}" for at in range(count)]
        self._made: list[str] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        self._made.clear()

    def __len__(self) -> int:
        return len(self._names)

    @staticmethod
    def address(at: int) -> str:
        """The IPv4 address of a host."""
        return f"{NETWORK}.{at + 1}"

    def command(self, at: int) -> list[str]:
        """What stands before a command that is to run on a host."""
        return ["ip", "netns", "exec", self._names[at]]

    def lose(self, percent: int) -> None:
        """Every host loses this share of the packets that come to it."""
        for at in range(len(self)):
            self._filter(at, f"numgen random mod 100 < {percent} counter drop")

    def split(self, one_side: Collection[int]) -> None:
        """These hosts, and the others, hear nothing of each other."""
        for at in range(len(self)):
            away = [self.address(other) for other in range(len(self)) if (other in one_side) != (at in one_side)]
            self._filter(at, f"ip saddr {{ {', '.join(away)} }} counter drop")

    def close_to_newcomers(self, at: int) -> None:
        """A host opens connections, and none is opened to it."""
        self._filter(at, "tcp flags & (syn | ack) == syn counter drop")

    def replug(self, at: int) -> None:
        """A host's interface is deleted and made anew, with the same IPv4 address."""
        _run("ip", "-n", self._names[at], "link", "del", "eth0")
        self._plug_in(at, self._names[at])

    def add_address(self, at: int, address: str) -> None:
        """Give a host's interface one more address."""
        _run("ip", "-n", self._names[at], "address", "add", f"{address}/64", "dev", "eth0", "nodad")

    def lost(self) -> list[int]:
        """How many packets each host has lost since `lose` or `split`."""
        counts = []
        for at in range(len(self)):
            words = _run(*self.command(at), "nft", "list", "chain", "inet", "chaos", "input").split()
            counts.append(int(words[words.index("packets") + 1]) if "packets" in words else 0)
        return counts

    def heal(self) -> None:
        """From now on every packet arrives."""
        for at in range(len(self)):
            _run(*self.command(at), "nft", "flush", "chain", "inet", "chaos", "input")

    def _filter(self, at: int, rule: str) -> None:
        rules = f"flush chain inet chaos input\nadd rule inet chaos input {rule}\n"
        _run(*self.command(at), "nft", "-f", "-", stdin=rules)

    def _build(self) -> None:
        try:
            self._add(self._switch)
            _run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
            _run("ip", "netns", "exec", self._switch, "nft", "add", "table", "inet", "chaos")
        except CommandError as error:
            raise NamespacesError(str(error)) from None
        _run("ip", "-n", self._switch, "link", "set", "br0", "up")
        for at, name in enumerate(self._names):
            self._add(name)
            self._plug_in(at, name)
            _run(*self.command(at), "nft", "-f", "-", stdin=_TABLE)

    def _add(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._made.append(name)

    def _plug_in(self, at: int, name: str) -> None:
        port = f"port{at}"
        _run("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self._switch)
        _run("ip", "-n", self._switch, "link", "set", port, "master", "br0", "up")
        _run("ip", "-n", name, "address", "add", f"{self.address(at)}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _run("ip", "-n", name, "link", "set", link, "up")


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
