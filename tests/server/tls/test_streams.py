"""Tests of `server.streams` and of what only streams in C have: pyOpenSSL's object when it is asked for."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from meshcache_server.tls import streams
from meshcache_server.tls.stream import RECORD_BYTES, SCRATCH_BYTES, SLICE_BYTES, StreamError, TlsStream, make_scratch
from OpenSSL import SSL

from tests.server.harness import Certificates
from tests.server.tls.test_stream import VERSIONS, MemoryClient

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "server" / "steps.c"

needs_compiled = pytest.mark.skipif(streams.compiled is None, reason="the server's streams aren't compiled here")


def said_by(code: str, **more: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout


SAY = "from meshcache_server.tls import streams; print(streams.compiled is not None)"


@needs_compiled
@pytest.mark.parametrize(("pure", "is_compiled"), [("", True), ("0", True), ("1", False)])
def test_the_environment_can_ask_for_python(pure: str, is_compiled: bool) -> None:
    assert said_by(SAY, MESHCACHE_PURE=pure).split() == [str(is_compiled)]


@pytest.mark.parametrize(
    "hide",
    [
        "import sys; sys.modules['meshcache_server._steps'] = None",
        "import sys, types; m = types.ModuleType('_steps'); sys.modules['meshcache_server._steps'] = m",
    ],
    ids=["no module", "a module of other sources"],
)
def test_without_a_module_that_fits_python_does_it(hide: str) -> None:
    assert said_by(f"{hide}\n{SAY}", MESHCACHE_PURE="").split() == ["False"]


def test_streams_are_what_the_path_says(stream_path: str, context: SSL.Context) -> None:
    stream = streams.maker(context)(make_scratch())
    assert isinstance(stream, TlsStream) == (stream_path == "python")


def test_both_twins_have_the_same_names_and_sizes() -> None:
    ours = {name for name in dir(TlsStream) if not name.startswith("_")}
    if streams.compiled is not None:
        theirs = {name for name in dir(streams.compiled.TlsStream) if not name.startswith("_")}
        assert theirs - {"ssl_address"} == ours
    source = SOURCE.read_text() + SOURCE.with_suffix(".h").read_text()
    assert f"RECORD_BYTES = {RECORD_BYTES // 1024} * 1024" in source
    assert SLICE_BYTES == 3 * RECORD_BYTES
    assert "SLICE_BYTES = 3 * RECORD_BYTES" in source
    assert f"ROOM_BYTES = {SCRATCH_BYTES // 1024} * 1024" in source
    assert f"INTERFACE = {streams.INTERFACE}" in source


@needs_compiled
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_pyopenssls_object_is_the_same_connection_and_outlives_the_stream(
    certificates: Certificates, context: SSL.Context, version: ssl.TLSVersion, listed: bool
) -> None:
    client, stream = MemoryClient(certificates.client(version)), streams.maker(context, listed)(None)
    client.shake(stream)
    connection = stream.connection
    assert stream.connection is connection
    assert connection.get_protocol_version_name() == client.tls.version()
    assert connection.get_context() is context
    assert connection.get_servername() == b"shop.example"
    client.tls.write(b"question")
    assert stream.receive(client.says()) == b"question"
    stream.free()
    del stream
    gc.collect()
    assert connection.get_cipher_name() == client.tls.cipher()[0]  # type: ignore[index]


@needs_compiled
def test_a_connection_that_is_wrapped_knows_its_new_bios(certificates: Certificates, context: SSL.Context) -> None:
    client, stream = MemoryClient(certificates.client()), streams.maker(context)(None)
    client.shake(stream)
    connection = stream.connection
    assert stream.slim()
    client.tls.write(b"question")
    connection.bio_write(client.says())
    assert connection.recv(100) == b"question"


@needs_compiled
def test_a_callback_of_pyopenssls_finds_a_listed_connection(certificates: Certificates, context: SSL.Context) -> None:
    asked: list[SSL.Connection] = []

    def choose(connection: SSL.Connection, offered: list[bytes]) -> bytes:
        asked.append(connection)
        return offered[0]

    context.set_alpn_select_callback(choose)
    clients = certificates.client()
    clients.set_alpn_protocols(["h2"])
    client, stream = MemoryClient(clients), streams.maker(context, listed=True)(None)
    client.shake(stream)
    assert asked == [stream.connection]
    assert client.tls.selected_alpn_protocol() == "h2"


@needs_compiled
def test_what_a_callback_raises_refuses_the_client_alone(certificates: Certificates, context: SSL.Context) -> None:
    def choose(_connection: SSL.Connection, _offered: list[bytes]) -> bytes:
        raise StreamError("no application protocol in common")

    context.set_alpn_select_callback(choose)
    clients = certificates.client()
    clients.set_alpn_protocols(["h2"])
    client, stream = MemoryClient(clients), streams.maker(context, listed=True)(None)
    with pytest.raises(StreamError, match="no application protocol in common"):
        client.shake(stream)
    assert stream.outgoing()[:1] == b"\x15"


@needs_compiled
@pytest.mark.parametrize("data", [None, "text", 5, [1]])
def test_what_isnt_bytes_is_refused(context: SSL.Context, data: Any) -> None:
    stream = streams.maker(context)(None)
    for step in (stream.handshake, stream.receive, stream.send):
        with pytest.raises(TypeError):
            step(data)
    assert not stream.handshake(b"")


@needs_compiled
@pytest.mark.skipif("MESHCACHE_SANITIZED" in os.environ, reason="the sanitizer keeps what was freed for a while")
def test_ten_thousand_streams_leave_no_memory_behind(certificates: Certificates, context: SSL.Context) -> None:
    make, clients = streams.maker(context), certificates.client(ssl.TLSVersion.TLSv1_2)

    def resident_kib() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    def some(count: int) -> None:
        for number in range(count):
            stream = make(None)
            stream.call_when_freed(lambda kept=stream: kept and None)  # a cycle, of those nobody frees
            if number % 2:
                assert isinstance(stream.connection, SSL.Connection)
            if number % 100 == 0:
                MemoryClient(clients).shake(stream)
                stream.send(bytes(100_000))
                stream.slim()
            else:
                with pytest.raises(StreamError):
                    stream.handshake(b"GET / HTTP/1.1\r\n\r\n")
            if number % 3:
                stream.free()

    some(1000)
    before = resident_kib()
    some(10_000)
    assert resident_kib() - before < 4096
