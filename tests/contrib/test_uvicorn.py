"""uvicorn as its page starts it."""

from __future__ import annotations

import pytest

from tests.contrib.pages import Served, check
from tests.support.balancer import Balancer
from tests.support.material import HOST
from tests.support.programs import REQUEST, run
from tests.support.waiting import wait_until


@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)
def test_the_page_works(served: Served) -> None:
    check(served)


@pytest.mark.parametrize("served", ["uvicorn"], indirect=True)
def test_other_clients_come_back_too(served: Served) -> None:
    """openssl s_client and curl."""
    first, second = served.ports
    trust = str(served.folder / "ca.pem")
    for version in ("-tls1_2", "-tls1_3"):
        saved = str(served.folder / f"session{version}.pem")
        seen = served.received()
        assert "\nNew, TLSv1" in s_client(first, version, trust, "-sess_out", saved)
        wait_until(lambda n=seen: served.received() > n, what="the session crosses")
        assert "\nReused, TLSv1" in s_client(second, version, trust, "-sess_in", saved)
    for version in ("--tls-max 1.2", "--tlsv1.3"):
        before, seen = served.count("remote") + served.count("local"), served.received()
        backends = [("127.0.0.1", port) for port in served.ports]
        with Balancer(backends, lambda n=seen: wait_until(lambda: served.received() > n)) as vip:
            port = vip.address[1]
            to = f"https://{HOST}:{port}/"
            close = ["-H", "Connection: close", "--cacert", trust, "--resolve", f"{HOST}:{port}:127.0.0.1"]
            said = run(["curl", "-sS", "--http1.1", *version.split(), *close, to, to])
            assert said == "hello\n" * 2
        wait_until(lambda n=before: served.count("remote") + served.count("local") == n + 1, what="curl resumed")


def s_client(port: int, version: str, trust: str, *more: str) -> str:
    server = ["-connect", f"127.0.0.1:{port}", "-servername", HOST, "-CAfile", trust, "-verify_return_error"]
    return run(["openssl", "s_client", version, *server, "-ign_eof", *more], REQUEST)
