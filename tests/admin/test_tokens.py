"""Tests of `admin.tokens`: real requests, with and without the token, over HTTP and TLS."""

from __future__ import annotations

import base64
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from meshcache.admin.server import AdminServer
from meshcache.admin.tokens import load_token
from meshcache.config import AdminSettings
from meshcache.errors import ConfigError
from tests.admin.nodes import PlainNode
from tests.support.material import Authority

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(TOKEN + "\n")
    return path


def get(url: str, authorization: str = "", trust: ssl.SSLContext | None = None) -> tuple[int, dict[str, str]]:
    headers = {"Authorization": authorization} if authorization else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60, context=trust) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def test_only_who_shows_the_token_gets_anything_but_health(token_file: Path) -> None:
    with AdminServer(PlainNode(), AdminSettings(http="127.0.0.1:0", token_file=token_file)) as server:
        url = f"http://{server.http_address}"
        for path in ("/v1/stats", "/metrics", "/", "/v1/nothing"):
            for wrong in (
                "",
                "Bearer",
                "Bearer x",
                f"Bearer {TOKEN}x",
                basic("x"),
                "Basic ???",
                f"Digest {TOKEN}",
                "é",
            ):
                status, headers = get(url + path, wrong.encode().decode("latin-1"))
                assert (path, status) == (path, 401)
                assert headers["WWW-Authenticate"].startswith("Basic realm=")
        for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)):
            assert get(url + "/v1/peers", right)[0] == 200
        assert get(url + "/healthz")[0] == 200


def test_tls_where_a_certificate_is_named(tmp_path: Path, token_file: Path) -> None:
    Authority.new("edge-1.internal", "127.0.0.1").write(tmp_path)
    files = {"certificate": tmp_path / "shop.pem", "private_key": tmp_path / "shop.key"}
    settings = AdminSettings(http="127.0.0.1:0", token_file=token_file, **files)
    with AdminServer(PlainNode(), settings) as server:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        trust.check_hostname = False
        assert get(f"https://{server.http_address}/v1/peers", f"Bearer {TOKEN}", trust)[0] == 200


@pytest.mark.parametrize("content", ["", "short", "two words of some length", "ü" * 40, "x" * 5000])
def test_what_is_no_token_is_refused(token_file: Path, content: str) -> None:
    token_file.write_text(content)
    with pytest.raises(ConfigError, match=r"admin\.token_file: .*one word of 16 characters") as refused:
        load_token(token_file)
    assert not content or content not in str(refused.value)


def test_a_token_that_others_can_read_a_fifo_and_none_are_refused(token_file: Path, tmp_path: Path) -> None:
    token_file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"admin\.token_file"):
        load_token(token_file)
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        load_token(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="no such file"):
        load_token(tmp_path / "absent")


def test_a_pair_that_cant_be_used_is_named(tmp_path: Path) -> None:
    settings = AdminSettings(
        http="127.0.0.1:0", certificate=tmp_path / "absent.pem", private_key=tmp_path / "absent.key"
    )
    with pytest.raises(ConfigError, match=r"admin\.certificate: .*no such file"):
        AdminServer(PlainNode(), settings).start()
