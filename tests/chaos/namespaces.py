"""Hosts that are network namespaces on one bridge, which loses packets and falls apart on command.

A network namespace each for the switch and every host, named after this process, so that nothing outside is touched and
deleting them takes everything along. Packets are lost by nftables where they come in: that needs no netem.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

NETWORKS = ("10.77.0", "10.78.0")
"""Only seen in namespaces of our own, so they can't clash with anybody's. There is no way from one to the other."""

_TABLE = "table inet chaos {\n chain input {\n type filter hook input priority 0;\n }\n}\n"


class NamespacesError(Exception):
    """This machine, or this user, can't make network namespaces with bridges and filters in them."""


class CommandError(Exception):
    """A command of ours failed: a fault in the test."""


class Lan:
    """`count` hosts on a bridge, without a default route, each with one interface; `also_in_second` gives it another.

    Raises NamespacesError, with nothing left behind, where that can't be had.
    """

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
    def address(at: int, network: int = 0) -> str:
        """The IPv4 address of a host, in the first network or the second."""
        return f"{NETWORKS[network]}.{at + 1}"

    def command(self, at: int, names: Path | None = None) -> list[str]:
        """What stands before a command that is to run on a host, for which `names` is /etc/hosts and nobody's DNS."""
        inside = ["ip", "netns", "exec", self._names[at]]  # which has mounts of its own
        if names is None:
            return inside
        return [*inside, "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(names)]

    def also_in_second(self, at: int) -> None:
        """Give a host an interface in the second network too."""
        self._plug_in(at, self._names[at], network=1)

    def unplug(self, at: int) -> None:
        """Take a host out of the first network."""
        _run("ip", "-n", self._names[at], "link", "del", "eth0")

    def ways_out(self, at: int) -> str:
        """The default routes of a host."""
        return _run("ip", "-n", self._names[at], "route", "show", "default").strip()

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
            for network in range(len(NETWORKS)):
                _run("ip", "-n", self._switch, "link", "add", f"br{network}", "type", "bridge")
            _run("ip", "netns", "exec", self._switch, "nft", "add", "table", "inet", "chaos")
        except CommandError as error:
            raise NamespacesError(str(error)) from None
        for network in range(len(NETWORKS)):
            _run("ip", "-n", self._switch, "link", "set", f"br{network}", "up")
        for at, name in enumerate(self._names):
            self._add(name)
            self._plug_in(at, name)
            _run(*self.command(at), "nft", "-f", "-", stdin=_TABLE)

    def _add(self, name: str) -> None:
        _run("ip", "netns", "add", name)
        self._made.append(name)

    def _plug_in(self, at: int, name: str, network: int = 0) -> None:
        port, own = f"port{at}-{network}", f"eth{network}"
        _run("ip", "-n", name, "link", "add", own, "type", "veth", "peer", "name", port, "netns", self._switch)
        _run("ip", "-n", self._switch, "link", "set", port, "master", f"br{network}", "up")
        _run("ip", "-n", name, "address", "add", f"{self.address(at, network)}/24", "dev", own)
        for link in ("lo", own):
            _run("ip", "-n", name, "link", "set", link, "up")


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
