"""docs/servers/names.md: uvicorn and Hypercorn with a certificate for each name, as the page starts them."""

from __future__ import annotations

import re
import shlex
import ssl
import sys
from pathlib import Path

import pytest

from meshcache.admin.client import AdminClient
from tests.contrib.pages import blocks, http, plain, prepare
from tests.support.material import HOST, Authority, free_ports
from tests.support.processes import Processes
from tests.support.waiting import wait_until

NAMES = (HOST, "other.example")


def programs() -> dict[str, str]:
    return {re.match(r"# (\S+)\.py\n", block)[1]: block for block in blocks("servers/names.md", "python")}  # type: ignore[index]


def come(context: ssl.SSLContext, port: int, name: str, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
    with plain(port) as connection, context.wrap_socket(connection, server_hostname=name, session=session) as tls:
        http(tls)
        assert tls.session is not None
        return bool(tls.session_reused), tls.session


@pytest.mark.parametrize("name", ["uvicorn_app", "hypercorn_app"])
def test_the_page_works(folder: Path, authority: Authority, processes: Processes, name: str) -> None:
    prepare(folder, authority)
    with (folder / "meshcache.toml").open("a") as file:
        file.write('\n[[vip]]\nname = "sites"\n')
    issued = authority.ca.issue_cert("other.example", "*.other.example")
    (folder / "other.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "other.key").write_bytes(issued.private_key_pem.bytes())
    (line,) = blocks("servers/names.md", "sh")
    assert shlex.split(line) == ["python", "uvicorn_app.py"]
    ports = free_ports(2)
    for port in ports:
        program = folder / f"{name}_{port}.py"
        code = programs()[name].replace("0.0.0.0", "127.0.0.1").replace("8443", str(port))
        program.write_text(code.replace(f"{name}:app", f"{name}_{port}:app"))
        processes.start([sys.executable, str(program)], cwd=folder)

    def met() -> bool:
        found = sockets(folder)
        return len(found) == 2 and all(len(AdminClient(path).peers()) == 1 for path in found)

    for port in ports:
        wait_until(lambda p=port: listening(p), what=f"somebody listens on {port}")  # type: ignore[misc]
    wait_until(met, what="the two meet")
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    for asked, other in (NAMES, reversed(NAMES)):

        def back(asked: str = asked) -> bool:
            return come(context, ports[1], asked, come(context, ports[0], asked, None)[1])[0]

        wait_until(back, what=f"{asked} resumes on the other")
        assert not come(context, ports[1], other, come(context, ports[0], asked, None)[1])[0]
    counted = [AdminClient(path).stats()["vips"]["sites"]["handshakes"] for path in sockets(folder)]
    assert sum(each["remote"] for each in counted) >= 2, "those of the named contexts too"
    assert sum(each["full"] for each in counted) >= 4


def sockets(folder: Path) -> list[Path]:
    return sorted(folder.glob("state/*/worker-*/admin.sock"))


def listening(port: int) -> bool:
    try:
        plain(port).close()
    except OSError:
        return False
    return True
