"""The three homes of OpenSSL, for real: a wheel, a shared libssl under pyOpenSSL, and what the ssl module links."""

from __future__ import annotations

import os
import shutil
import ssl
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cryptography
import pytest
import truststore
from OpenSSL import SSL
from urllib3.contrib.pyopenssl import PyOpenSSLContext

import tests
from meshcache.errors import AttachError, HookError
from meshcache.tls import elf, libssl
from meshcache.tls.functions import ffi
from tests.tls.world import StdlibEnd, client_context, server_context, server_end, shake_hands

ROOT = Path(tests.__file__).parent.parent
DEBIAN = Path("/usr/lib/python3/dist-packages")
DEBIAN_PYTHON = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
PURELIB = Path(pytest.__file__).parent.parent


def test_each_kind_of_context_is_found_in_its_own_library() -> None:
    first, second = (
        SSL.Context(SSL.TLS_SERVER_METHOD),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    )  # both alive, so that their addresses differ
    wheel = libssl.find(first)
    shared = libssl.find(second)
    assert wheel.library.version == SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode()
    assert shared.library.version == ssl.OPENSSL_VERSION
    assert wheel.pointer != shared.pointer
    assert libssl.find(SSL.Context(SSL.TLS_SERVER_METHOD)).library is wheel.library


def test_no_second_openssl_is_loaded() -> None:
    for context in (SSL.Context(SSL.TLS_SERVER_METHOD), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
        libssl.find(context)
    loaded = {mapping.path for mapping in elf.read_mappings() if "libssl" in mapping.path}
    assert len(loaded) <= 1, "the wheel's is inside its extension module; only ssl links a shared one"


def test_the_pointer_is_the_contexts_own() -> None:
    for kind in ("pyopenssl", "stdlib"):
        first, second = server_context(kind, "1.2"), server_context(kind, "1.3")
        for context, version in ((first, 0x0303), (second, 0x0304)):
            found = libssl.find(context)
            assert found.library.functions.SSL_CTX_ctrl(found.pointer, 130, 0, ffi.NULL) == version


@pytest.mark.parametrize("kind", ["pyopenssl", "stdlib"])
def test_a_connection_is_found_while_it_is_open(kind: str) -> None:
    context = server_context(kind)
    server = server_end(context)
    shake_hands(StdlibEnd(client_context(), server=False, name="a.test"), server)
    found = libssl.find_connection(server.tls)
    assert found is not None
    assert found.library.functions.SSL_get_SSL_CTX(found.pointer) == libssl.find(context).pointer
    assert libssl.find_connection(object()) is None


def test_what_states_where_its_connection_lies_is_found_there() -> None:
    server = server_end(server_context("pyopenssl"))
    shake_hands(StdlibEnd(client_context(), server=False, name="a.test"), server)
    found = libssl.find_connection(server.tls)
    assert found is not None

    class Stated:
        ssl_address = found.pointer

    assert libssl.find_connection(Stated()) == found
    assert libssl.stated_address(Stated()) == found.pointer
    assert libssl.stated_address(server.tls) == 0


def test_what_is_no_context_is_refused() -> None:
    with pytest.raises(AttachError, match="not SimpleNamespace"):
        libssl.find(SimpleNamespace(_context=1))


def test_a_context_laid_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    libssl.find(context)
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.options |= ssl.OP_NO_RENEGOTIATION
    pointer = libssl._field(other, 0)
    monkeypatch.setattr(libssl, "_field", lambda owner, index: pointer)
    with pytest.raises(HookError, match="keeps its contexts in another way"):
        libssl.find(context)
    monkeypatch.setattr(libssl, "_layout_known", set())
    for wild in (0, 0x10, id(str)):
        monkeypatch.setattr(libssl, "_field", lambda owner, index, wild=wild: wild)
        if wild != id(str):
            with pytest.raises(HookError, match="keeps its contexts in another way"):
                libssl.find(context)


def test_a_connection_laid_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    server = server_end(server_context("stdlib"))
    monkeypatch.setattr(libssl, "_field", lambda owner, index: 1)
    with pytest.raises(HookError, match="keeps its connections in another way"):
        libssl.find_connection(server.tls)


def test_an_older_openssl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Library(b"OpenSSL 1.1.1w  11 Sep 2023")
    monkeypatch.setattr(libssl, "Functions", old.functions)
    with pytest.raises(HookError, match=r"it is OpenSSL 1\.1\.1w.*3\.0 or later is needed"):
        libssl._library_in(libssl.find(SSL.Context(SSL.TLS_SERVER_METHOD)).library.path, "this")


class Library:
    """As far as the version is looked at."""

    def __init__(self, version: bytes) -> None:
        self.text = ffi.new("char[]", version)

    def functions(self, _address_of: Any) -> Any:
        return SimpleNamespace(OpenSSL_version=lambda _which: int(ffi.cast("uintptr_t", self.text)))


def run(code: str, *paths: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run a program whose imports come from these folders first."""
    search = os.pathsep.join(map(str, (*paths, PURELIB, ROOT)))
    return subprocess.run(
        [python, "-X", "faulthandler", *code.split("\0")],
        env={**os.environ, "PYTHONPATH": search},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.slow
def test_a_stripped_wheel_is_refused_with_what_to_install_and_no_crash(tmp_path: Path) -> None:
    """A copy of cryptography without section headers has no symbols, as wheels for macOS have none."""
    copy = tmp_path / "cryptography"
    shutil.copytree(Path(cryptography.__file__).parent, copy)
    library = copy / "hazmat" / "bindings" / "_rust.abi3.so"
    strip(library)
    code = (
        "import cryptography; from OpenSSL import SSL; from meshcache.tls import libssl\n"
        "print(cryptography.__file__)\n"
        "try: libssl.find(SSL.Context(SSL.TLS_SERVER_METHOD))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "import ssl; print(libssl.find(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).library.version)"
    )
    done = run(f"-c\0{code}", tmp_path)
    where, said, other = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert where.startswith(str(tmp_path))
    assert said.startswith("HookError pyOpenSSL's OpenSSL can't be hooked")
    assert "shows no functions of OpenSSL's: stripped" in said
    assert "pip install --force-reinstall --only-binary :all: cryptography" in said
    assert other == ssl.OPENSSL_VERSION, "the ssl module's is another one, and fit"


def strip(library: Path) -> None:
    """Clear where and how many the section headers are, in the header of a 64-bit ELF file (elf(5))."""
    data = bytearray(library.read_bytes())
    struct.pack_into("<Q", data, 0x28, 0)
    struct.pack_into("<HHH", data, 0x3A, 0, 0, 0)
    library.write_bytes(data)


@pytest.mark.slow
def test_a_library_that_was_replaced_on_disk_is_refused(tmp_path: Path) -> None:
    """As after a ``pip install`` under a running process: the symbols of the new file say nothing about memory."""
    copy = tmp_path / "cryptography"
    shutil.copytree(Path(cryptography.__file__).parent, copy)
    code = (
        "import os; from OpenSSL import SSL; from meshcache.tls import libssl\n"
        "from cryptography.hazmat.bindings import _rust; import ssl, _ssl\n"
        "os.remove(_rust.__file__); open(_rust.__file__, 'wb').write(open(_ssl.__file__, 'rb').read())\n"
        "try: libssl.find(SSL.Context(SSL.TLS_SERVER_METHOD))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = run(f"-c\0{code}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "replaced on disk while it is in use" in done.stdout
    assert done.stdout.startswith("HookError pyOpenSSL's OpenSSL can't be hooked")


@pytest.mark.slow
def test_pyopenssl_over_a_shared_libssl_passes_the_same_tests(tmp_path: Path) -> None:
    """Debian's python3-openssl (pyOpenSSL 23, OpenSSL 3.0), with Debian's own Python, through this room's tests."""
    if not Path(DEBIAN_PYTHON).exists():
        pytest.skip(f"NOT TESTED: pyOpenSSL over a shared libssl, since Debian's Python here is not {DEBIAN_PYTHON}")
    assert (DEBIAN / "OpenSSL").exists(), "apt-get install python3-openssl, which `make test` does"
    for package in ("OpenSSL", "cryptography"):
        (tmp_path / package).symlink_to(DEBIAN / package)
    code = (
        "import ssl; from OpenSSL import SSL; from meshcache.tls import libssl\n"
        "ours = libssl.find(SSL.Context(SSL.TLS_SERVER_METHOD)).library\n"
        "theirs = libssl.find(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).library\n"
        "print(SSL.__file__, ours.path, ours is theirs)"
    )
    where = run(f"-c\0{code}", tmp_path, python=DEBIAN_PYTHON)
    source, library, one = where.stdout.split()
    assert source.startswith(str(tmp_path)), where.stderr
    assert "libssl.so" in library
    assert one == "True", "one libssl, hooked once for both"
    suites = ("tests/tls/test_resumption.py", "tests/tls/test_experiments.py", "tests/tls/test_revalidate.py")
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", *suites)
    done = run("\0".join(arguments), tmp_path, python=DEBIAN_PYTHON)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("kind", ["truststore", "urllib3"])
def test_a_wrapper_around_a_context_stands_for_what_it_wraps(kind: str) -> None:
    """Contexts of truststore's and of urllib3's make their connections with another context, in ``_ctx``."""
    if kind == "truststore":
        wrapper: Any = truststore.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    else:
        wrapper = PyOpenSSLContext(ssl.PROTOCOL_TLS)
    assert libssl.unwrapped(wrapper) is wrapper._ctx
    assert libssl.find(wrapper) == libssl.find(wrapper._ctx)


def test_the_standard_librarys_contexts_are_known_also_when_their_class_was_replaced() -> None:
    before = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    truststore.inject_into_ssl()
    try:
        assert libssl.is_stdlib(before)
        assert libssl.find(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)).library is libssl.find(before).library
    finally:
        truststore.extract_from_ssl()
    assert not libssl.is_stdlib(SSL.Context(SSL.TLS_SERVER_METHOD))
