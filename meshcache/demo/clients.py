"""Two real clients that come back with a session: OpenSSL's s_client and Python's ssl. They know nothing of the mesh.

Both verify the server's certificate, ask for ``/`` and read the built-in responder's JSON; the client's own word on
whether it resumed is kept beside the server's.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from meshcache.demo.files import VIPS, DemoFiles, Endpoint
from meshcache.demo.servers import DemoError

VISIT_S_MAX = 5.0
"""A handshake on loopback takes milliseconds."""

TLS_VERSIONS = ("1.2", "1.3")

_ANSWER_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection as both ends saw it, and what the client keeps for the next (`ticket`, for this client only)."""

    server: str
    session: str
    origin: str | None
    resumed: bool
    ticket: Any

    @property
    def outcome(self) -> str:
        """The server's word, or how the two ends disagree."""
        agreed = self.resumed == (self.session != "full")
        return self.session if agreed else f"{self.session}, but the client says {'resumed' if self.resumed else 'new'}"


class DemoClient(Protocol):
    """Connects to an endpoint, with a ticket of its own from an earlier visit or without."""

    label: str
    tls: str

    def visit(self, endpoint: Endpoint, ticket: Any = None) -> Visit: ...


def clients(files: DemoFiles) -> list[DemoClient]:
    """Return each client in each protocol version. Raises DemoError when there is no ``openssl`` program."""
    return [make(files, tls) for make in (_openssl, PythonClient) for tls in TLS_VERSIONS]


class OpensslClient:
    """``openssl s_client`` with ``-sess_out`` and ``-sess_in``, one process for each connection."""

    label = "openssl s_client"

    def __init__(self, files: DemoFiles, tls: str, program: str) -> None:
        self.tls = tls
        self._files = files
        self._program = program
        self._number = count(1)

    def visit(self, endpoint: Endpoint, ticket: Path | None = None) -> Visit:
        saved = self._files.folder / f"session-{self.tls}-{next(self._number)}.pem"
        resume = ["-sess_in", str(ticket)] if ticket else []
        done = self._run(endpoint, [*resume, "-sess_out", str(saved)])
        word = re.search(r"^(New|Reused), TLSv", done.stdout.decode(errors="replace"), re.MULTILINE)
        if done.returncode or not word:
            raise DemoError(f"openssl s_client failed at {endpoint}: {done.stderr.decode(errors='replace')[-500:]}")
        return _visit(done.stdout, resumed=word[1] == "Reused", ticket=saved)

    def _run(self, endpoint: Endpoint, options: list[str]) -> subprocess.CompletedProcess[bytes]:
        host, port = self._files.address(endpoint)
        version = "-tls1_2" if self.tls == "1.2" else "-tls1_3"
        trust = ["-CAfile", str(self._files.authority(endpoint.vip)), "-verify_return_error"]
        command = [self._program, "s_client", "-connect", f"{host}:{port}", "-servername", endpoint.vip.host, version]
        try:
            return subprocess.run(  # noqa: S603  # the program that PATH names, arguments of our own
                [*command, *trust, "-ign_eof", *options],
                input=_request(endpoint),
                capture_output=True,
                timeout=VISIT_S_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"openssl s_client got no answer at {endpoint} within {VISIT_S_MAX:.0f} s") from None


class PythonClient:
    """Python's own ``ssl``: a session fits the context it was made in, so there is one for all visits."""

    label = "Python ssl"

    def __init__(self, files: DemoFiles, tls: str) -> None:
        self.tls = tls
        self._files = files
        self._context = ssl.create_default_context()
        for vip in VIPS:
            self._context.load_verify_locations(files.authority(vip))
        version = ssl.TLSVersion.TLSv1_2 if tls == "1.2" else ssl.TLSVersion.TLSv1_3
        self._context.minimum_version = self._context.maximum_version = version

    def visit(self, endpoint: Endpoint, ticket: ssl.SSLSession | None = None) -> Visit:
        try:
            with (
                socket.create_connection(self._files.address(endpoint), VISIT_S_MAX) as plain,
                self._context.wrap_socket(plain, server_hostname=endpoint.vip.host, session=ticket) as tls,
            ):
                tls.sendall(_request(endpoint))
                answer = _read_all(tls.recv)
                return _visit(answer, resumed=bool(tls.session_reused), ticket=tls.session)
        except OSError as error:
            raise DemoError(f"Python's ssl failed at {endpoint}: {error}") from None


def _openssl(files: DemoFiles, tls: str) -> OpensslClient:
    program = shutil.which("openssl")
    if program is None:
        raise DemoError("there is no openssl program; install it, or run `make demo`, which does")
    return OpensslClient(files, tls, program)


def _request(endpoint: Endpoint) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {endpoint.vip.host}\r\nConnection: close\r\n\r\n".encode()


def _read_all(receive: Callable[[int], bytes]) -> bytes:
    answer = b""
    while len(answer) < _ANSWER_BYTES_MAX and (more := receive(16_384)):
        answer += more
    return answer


def _visit(answer: bytes, *, resumed: bool, ticket: Any) -> Visit:
    """Return the visit from an HTTP answer whose body is one JSON object on a line; s_client prints more around it."""
    body = re.search(rb"^\{.*\}", answer, re.MULTILINE)
    try:
        told = json.loads(body[0]) if body else {}
        return Visit(told["server"], told["session"], told["origin"], resumed, ticket)
    except (ValueError, KeyError) as error:
        raise DemoError(f"a server answered what no built-in responder would: {answer[-300:]!r} ({error})") from None
