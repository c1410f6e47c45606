"""The order of the demo: raise a mesh, cross it, meet its borders, kill a server, count, judge, leave nothing."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from rich.console import Console

from meshcache.demo.clients import clients
from meshcache.demo.files import SERVERS, DemoFiles, build, has_multicast
from meshcache.demo.servers import DemoError, Fleet
from meshcache.demo.show import Stagehand
from meshcache.demo.trials import BORDERS, Tester, Trial, endpoint, everywhere, survivors
from meshcache.demo.visitors import visitors

DEMO_S_MAX = 230.0
"""It ends by itself, whatever happens. A quarter of a minute is enough where nothing else runs; a machine that is ten
times as slow gets through."""

KILLED = "edge-2"


def run(*, keep: bool = False, console: Console | None = None) -> int:
    """Play the demo; with `keep` the servers stay up until Ctrl-C. Returns the exit code: 0 only if everything held."""
    hand = Stagehand(console or Console(highlight=False))
    try:
        with _ended_by_signals(), TemporaryDirectory(prefix="meshcache-demo-") as folder:
            return _play(hand, Path(folder), keep=keep)
    except DemoError as error:
        hand.line(False, str(error))
        return 1
    except KeyboardInterrupt:
        hand.remark("stopped; nothing is left running")
        return 130


def _play(hand: Stagehand, folder: Path, *, keep: bool) -> int:
    started = time.monotonic()
    hand.title()
    files = build(folder, mdns=has_multicast())
    with Fleet(files) as fleet:
        _raise_mesh(hand, fleet, started)
        tester = Tester(fleet, clients(files), started + DEMO_S_MAX)
        trials = [*_cross(hand, tester), *_meet_borders(hand, tester), *_kill(hand, fleet, tester)]
        agreed = _count(hand, fleet, tester)
        hand.verdict(trials, time.monotonic() - started)
        if keep:
            with visitors(files, lambda: fleet.alive):
                _stay(hand, fleet)
    return 0 if agreed and all(trial.held for trial in trials) else 1


def _raise_mesh(hand: Stagehand, fleet: Fleet, started: float) -> None:
    hand.act(1, "Six servers find each other")
    with hand.console.status("starting six servers"):
        fleet.wait_until_all_know_each_other()
    way = "by mDNS on the loopback interface" if fleet.files.mdns else "through two seeds"
    if not fleet.files.mdns:
        hand.remark("The loopback interface here has no multicast: two seeds stand in for mDNS.")
    hand.line(True, f"each found the other five {way}, in {time.monotonic() - started:.1f} s")


def _cross(hand: Stagehand, tester: Tester) -> list[Trial]:
    explanation = (
        "Rows: where it was made. Columns: where the client comes back to, on VIP shop.\n"
        "remote: resumed a session that the mesh had brought. local: one of its own.\n"
        "In each field: openssl s_client and Python ssl, TLS 1.2 and 1.3."
    )
    hand.act(2, "A session made on one server resumes on every other", explanation)
    with hand.console.status("clients come and come back"):
        trials = tester.test(everywhere("shop"))
    hand.matrix(trials)
    return trials


def _meet_borders(hand: Stagehand, tester: Tester) -> list[Trial]:
    explanation = (
        "shop and checkout are one share group, intranet is alone.\n"
        "shop reaches everywhere, checkout and intranet their own colo.\n"
        '"full" is a new handshake: the session was refused, or never sent.'
    )
    hand.act(3, "But only where the policies allow it", explanation)
    with hand.console.status("clients try the borders"):
        trials = tester.test(BORDERS)
    hand.borders(trials)
    return trials


def _kill(hand: Stagehand, fleet: Fleet, tester: Tester) -> list[Trial]:
    hand.act(4, f"{KILLED} is killed (SIGKILL), and its sessions live on")
    fleet.kill(endpoint("shop", KILLED).server)
    with hand.console.status("its clients come back to the others"):
        trials = tester.test(survivors("shop", KILLED))
    hand.matrix(trials)
    return trials


def _count(hand: Stagehand, fleet: Fleet, tester: Tester) -> bool:
    """Show the stats; whether the servers counted what the clients were told."""
    hand.act(5, "What the servers counted")
    stats = {server.name: fleet.stats(server) if server in fleet.alive else None for server in SERVERS}
    hand.stats(stats)
    counted = {
        (name, kind): sum(vip["handshakes"][kind] for vip in each["vips"].values())
        for name, each in stats.items()
        if each
        for kind in ("full", "local", "remote", "pulled")
    }
    agreed = all(tester.told[key] == count for key, count in counted.items())
    hand.line(agreed, "the servers counted every handshake as their clients saw it")
    return agreed


def _stay(hand: Stagehand, fleet: Fleet) -> None:
    """Say what to try, and wait for Ctrl-C."""
    files = fleet.files
    first, other = endpoint("shop", "edge-1"), endpoint("shop", "edge-5")
    program = Path(sys.executable).with_name("meshcache")
    socket = f"--socket {files.admin_socket(first.server)}"
    request = f"printf 'GET / HTTP/1.1\\r\\nHost: {first.vip.host}\\r\\nConnection: close\\r\\n\\r\\n'"
    openssl = f"openssl s_client -quiet -servername {first.vip.host} -CAfile {files.authority(first.vip)}"
    session = files.folder / "mine.pem"
    hand.act(6, "The servers stay up until Ctrl-C, and clients go on coming. In a browser:")
    hand.console.print(f"\n  {fleet.dashboard()}", soft_wrap=True, markup=False)
    hand.remark("\nIn another terminal:")
    for comment, command in (
        ("watch the gossip", f"{program} stats --watch {socket}"),
        ("who knows whom", f"{program} peers {socket}"),
        ("what may go where", f"{program} policy show {socket}"),
        (f"meet {first.server.name}", f"{request} | {openssl} -connect {_at(files, 'edge-1')} -sess_out {session}"),
        (
            f"come back to {other.server.name}",
            f"{request} | {openssl} -connect {_at(files, 'edge-5')} -sess_in {session}",
        ),
        ("a server's file", f"cat {files.file(first.server)}"),
    ):
        hand.console.print(f"\n  # {comment}\n  {command}", soft_wrap=True, markup=False)
    hand.console.print()
    while True:
        signal.pause()


def _at(files: DemoFiles, server: str) -> str:
    host, port = files.address(endpoint("shop", server))
    return f"{host}:{port}"


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that closes end the demo once, with all its servers; a second one can't stop that.

    SIGHUP stays ignored where it was, as under nohup(1).
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def end(_signal: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
