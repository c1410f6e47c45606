"""Takes the pictures of docs/pictures/ from a running demo: its story, its page in a browser, `stats --watch`.

    .venv/bin/python tools/pictures.py            all of them, in two minutes
    .venv/bin/python tools/pictures.py page       those of the page alone; also: demo, watch

The servers are the demo's own, with two backends for one VIP and clients that come and come back, so that there is
something to see. Nothing of a picture is drawn by hand; take them anew when the page or the words have changed.
"""

from __future__ import annotations

import asyncio
import base64
import re
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from meshcache.admin.client import AdminClient  # noqa: E402
from meshcache.cli.watch import Readings, frame  # noqa: E402
from meshcache.demo import story  # noqa: E402
from meshcache.demo.files import DASHBOARD, SERVERS, build, has_multicast  # noqa: E402
from meshcache.demo.servers import Fleet  # noqa: E402
from meshcache.demo.visitors import visitors  # noqa: E402
from tests.admin.chromium import Page, chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
BYTES_MAX = 200_000
"""Of each picture: a README has to open quickly."""

TRAFFIC_S = 75
"""Charts show a minute at least."""

SETTLED_S = 10
"""Six servers have started; what they did meanwhile would be the slowest of all lags for minutes."""

CLIENTS = {"shop": 40, "checkout": 20, "intranet": 6}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


def main(wanted: list[str]) -> int:
    """Take the pictures that are named, or all."""
    PICTURES.mkdir(exist_ok=True)
    if not wanted or "demo" in wanted:
        take_story()
    if not wanted or {"page", "watch"} & set(wanted):
        with busy_mesh() as fleet:
            if not wanted or "watch" in wanted:
                take_watch(fleet)
            if not wanted or "page" in wanted:
                asyncio.run(take_page(fleet.dashboard()))
    big = [path.name for path in PICTURES.iterdir() if path.stat().st_size > BYTES_MAX]
    if big:
        sys.stderr.write(f"over {BYTES_MAX} bytes: {', '.join(big)}\n")
    return 1 if big else 0


def take_story() -> None:
    """The demo, as a terminal shows it."""
    console = recorder(width=80)
    if story.run(console=console) != 0:
        raise SystemExit("the demo failed; no picture was taken")
    write_svg("demo.svg", console, "make demo")


def take_watch(fleet: Fleet) -> None:
    """One screen of `meshcache stats --watch`, of the same readings."""
    client = AdminClient(fleet.files.admin_socket(DASHBOARD))
    readings = Readings(client.stats())
    for _ in range(6):
        time.sleep(1)
        readings.add(client.stats())
    console = recorder(width=80)
    console.print(frame(readings, 24))
    write_svg("stats-watch.svg", console, "meshcache stats --watch")


async def take_page(address: str) -> None:
    """The page's first screen, light and dark, and on a phone."""
    async with chromium() as page:
        for name, width, height, dark in (
            ("page-light", 1280, 818, False),
            ("page-dark", 1280, 818, True),
            ("page-phone", 390, 844, False),
        ):
            await page.look(width=width, height=height, dark=dark)
            await page.goto(address)
            await page.until("document.body.dataset.link === 'live'")
            await asyncio.sleep(2)  # the second snapshot brings the first rates
            (PICTURES / f"{name}.png").write_bytes(await screen(page, width, height))


async def screen(page: Page, width: int, height: int) -> bytes:
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    return base64.b64decode((await page.send("Page.captureScreenshot", clip=clip))["data"])


def recorder(width: int) -> Console:
    """A terminal that remembers, and has no spinners."""
    return Console(
        record=True, width=width, file=StringIO(), force_terminal=True, force_interactive=False, highlight=False
    )


def write_svg(name: str, console: Console, title: str) -> None:
    """As SVG that loads nothing: whoever looks has a monospaced font of their own."""
    svg = console.export_svg(title=title, unique_id=name.partition(".")[0])
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "ui-monospace")
    (PICTURES / name).write_text("\n".join(line.rstrip() for line in svg.split("\n")) + "\n")


@contextmanager
def busy_mesh() -> Iterator[Fleet]:
    """The demo's six servers, two backends, and clients for over a minute."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="meshcache-pictures-")))
        files = build(folder, mdns=has_multicast())
        backends = [stack.enter_context(backend()) for _ in range(2)]
        for server in SERVERS:
            file = files.file(server)
            file.write_text(file.read_text().replace('name = "shop"\n', f'name = "shop"\nbackend = {backends!r}\n'))
        fleet = stack.enter_context(Fleet(files))
        fleet.wait_until_all_know_each_other()
        time.sleep(SETTLED_S)
        stack.enter_context(visitors(files, lambda: SERVERS, CLIENTS))
        time.sleep(TRAFFIC_S)
        yield fleet


@contextmanager
def backend() -> Iterator[str]:
    """A plain server that answers everything alike."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if self.request.recv(4096):
                    self.request.sendall(ANSWER)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
