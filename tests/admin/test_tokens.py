"""Tests of `admin.tokens`: real requests, with and without the token, over HTTP and TLS."""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from meshcache.admin.server import AdminServer
from meshcache.config import AdminSettings
from meshcache.errors import ConfigError
from tests.admin.nodes import PlainNode, ask
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


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "\xff"])
def test_bytes_that_are_no_text_show_no_token_and_are_no_line_of_the_log(
    token_file: Path, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    with AdminServer(PlainNode(), AdminSettings(http="127.0.0.1:0", token_file=token_file)) as server:
        caplog.clear()
        status, _, _ = ask(server, "GET", "/v1/stats", Authorization=f"{scheme} \xff\xfe")  # sent as Latin-1
        assert status == 401
        assert not caplog.records


def test_tls_where_a_certificate_is_named(tmp_path: Path, token_file: Path) -> None:
    Authority.new("edge-1.internal", "127.0.0.1").write(tmp_path)
    files = {"certificate": tmp_path / "shop.pem", "private_key": tmp_path / "shop.key"}
    settings = AdminSettings(http="127.0.0.1:0", token_file=token_file, **files)
    with AdminServer(PlainNode(), settings) as server:
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        trust.check_hostname = False
        assert get(f"https://{server.http_address}/v1/peers", f"Bearer {TOKEN}", trust)[0] == 200


def test_a_pair_that_cant_be_used_is_named(tmp_path: Path) -> None:
    settings = AdminSettings(
        http="127.0.0.1:0", certificate=tmp_path / "absent.pem", private_key=tmp_path / "absent.key"
    )
    with pytest.raises(ConfigError, match=r"admin\.certificate: .*no such file"):
        AdminServer(PlainNode(), settings).start()
