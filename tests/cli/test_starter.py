"""The files to start from are what they say: a certificate for localhost, comments that are keys."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import tomllib
from pathlib import Path

from meshcache.config import load
from tests.cli.conftest import Meshcache


def test_openssl_verifies_the_certificate_for_localhost(meshcache: Meshcache, tmp_path: Path) -> None:
    meshcache("init")
    context = ssl.create_default_context(cafile=str(tmp_path / "test.pem"))
    context.load_cert_chain(tmp_path / "test.pem", tmp_path / "test.key")
    openssl = shutil.which("openssl")
    assert openssl is not None
    done = subprocess.run(
        [
            openssl,
            "verify",
            "-CAfile",
            "test.pem",
            "-verify_hostname",
            "localhost",
            "-purpose",
            "sslserver",
            "test.pem",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "test.pem: OK")


def test_every_key_in_a_comment_is_a_key_that_exists(meshcache: Meshcache, tmp_path: Path) -> None:
    """Whoever takes a comment sign away must not meet a fault."""
    meshcache("init")
    lines = (tmp_path / "meshcache.toml").read_text().splitlines()
    uncommented = [line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in lines]
    text = "\n".join(uncommented)
    assert tomllib.loads(text)["admin"]["http"] == "127.0.0.1:9946"
    (tmp_path / "meshcache.toml").write_text(text)
    assert load(tmp_path / "meshcache.toml").vips[0].group == "storefront"
