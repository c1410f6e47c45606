"""Tests of `tls.session_file`: a client's file names a session that the server has. Server and client are real."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshcache.cli.main import run
from meshcache.tls.session_file import hash_of_session_in
from tests.server.deployment import Deployment, deploy
from tests.support.processes import Processes
from tests.support.waiting import wait_until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Deployment]:
    with Processes(tmp_path) as processes:
        yield deploy(tmp_path, processes)


def meets(shop: Deployment, version: str) -> Path:
    """What a client has after it met the server."""
    file = shop.folder / f"{version}.pem"
    command = ["openssl", "s_client", f"-tls1_{version[-1]}", "-quiet", "-connect", f"127.0.0.1:{shop.port}"]
    request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
    subprocess.run([*command, "-sess_out", file], input=request, capture_output=True, timeout=30, check=True)
    return file


class Explained:
    """What `policy explain` makes of a client's file."""

    def __init__(self, shop: Deployment, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        socket = shop.folder / "state" / "edge-1" / "admin.sock"
        capsys.readouterr()
        self.code = run(["policy", "explain", "--session", str(file), "--socket", str(socket)])
        self.told = "".join(capsys.readouterr())


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_clients_session_is_explained_by_its_file(
    shop: Deployment, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.start()
    file = meets(shop, version)
    explained = Explained(shop, file, capsys)
    assert explained.code == 0, explained.told
    assert "of VIP shop" in explained.told
    assert "made by edge-1" in explained.told
    assert hash_of_session_in(file.read_text()) in explained.told


def test_what_is_no_session_that_a_server_has_is_said(shop: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    shop.write(vip='resumption = "tickets"')
    shop.start()
    wait_until(lambda: meets(shop, "1.3").exists(), what="there are ticket keys")
    ticket, broken, other = shop.folder / "1.3.pem", shop.folder / "broken.pem", shop.folder / "meshcache.toml"
    lines = ticket.read_text().splitlines()
    broken.write_text("\n".join([*lines[:3], *lines[-1:]]))
    for file, words in ((ticket, "a sealed ticket"), (broken, "isn't whole"), (other, "no session is in it")):
        explained = Explained(shop, file, capsys)
        assert explained.code == 2
        assert words in explained.told


def test_a_files_contents_in_place_of_its_name_are_not_shown_again(
    shop: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.start()
    text = meets(shop, "1.2").read_text()
    for given in (text, text[:200], str(shop.folder)):
        explained = Explained(shop, Path(given), capsys)
        assert explained.code == 2
        assert "no such file, and a hash is 12 hexadecimal digits" in explained.told
        assert text[60:120] not in explained.told
