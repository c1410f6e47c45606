"""Finds the OpenSSL that a context belongs to, its functions, and the address of the context itself.

Three kinds: pyOpenSSL from a wheel (OpenSSL inside cryptography's extension module, symbols hidden), pyOpenSSL over a
shared libssl, and the standard library's ssl. Nothing is loaded and no layout of OpenSSL's is assumed: a library that
can't be found with certainty is refused with a HookError that says what to install.
"""

from __future__ import annotations

import ctypes
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeGuard

from meshcache.errors import AttachError, HookError
from meshcache.tls import elf
from meshcache.tls.functions import PROTOTYPES, Functions

_HEADER_BYTES = object.__basicsize__
"""What CPython puts before an object's own fields: the first field of an SSLContext or a session, behind it, is the
pointer to OpenSSL's object. Checked before use, `_stdlib_context`."""

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)

_TLS_FLOOR_OPENSSL = "OpenSSL 3.0 or later is needed"


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """One OpenSSL in this process; there may be two, the wheel's and the standard library's."""

    path: str
    version: str
    functions: Functions


class Found(NamedTuple):
    """A context's OpenSSL and its ``SSL_CTX *``."""

    library: Library
    pointer: int


def find(context: object) -> Found:
    """Return the library and the address of a pyOpenSSL Context or an ssl.SSLContext.

    Raises HookError when its OpenSSL can't be hooked, AttachError when `context` is neither of the two.
    """
    context = unwrapped(context)
    if is_stdlib(context):
        library = _stdlib()
        return Found(library, _stdlib_context(context, library))
    module = _pyopenssl_module()
    if module is not None and isinstance(context, module.Context):
        return Found(pyopenssl(), _pyopenssl_pointer(context, "_context"))
    raise AttachError(f"a context is an OpenSSL.SSL.Context or an ssl.SSLContext, not {type(context).__name__}")


def is_stdlib(context: object) -> TypeGuard[ssl.SSLContext]:
    """Return whether a context is the standard library's,
    whatever another library has put in the place of its class.
    """
    return isinstance(context, _ssl_context_class())


def unwrapped(context: object) -> object:
    """Return the context that makes the connections:
    truststore's and urllib3's are wrappers around one, in ``_ctx``.
    """
    inner = getattr(context, "_ctx", None)
    module = _pyopenssl_module()
    known = is_stdlib(inner) or (module is not None and isinstance(inner, module.Context))
    return inner if known else context


@cache
def _ssl_context_class() -> type:
    import _ssl  # the class that ssl.SSLContext is made of, also where truststore has replaced that

    made: type = _ssl._SSLContext  # noqa: SLF001 - as above
    return made


def find_connection(connection: object) -> Found | None:
    """Return the library and the ``SSL *`` of a connection of either kind;
    None when it is closed or of neither kind. Also of what says itself at which address its pyOpenSSL ``SSL *`` lies.
    """
    if address := stated_address(connection):
        return Found(pyopenssl(), address)
    module = sys.modules.get("OpenSSL.SSL")
    if module is not None and isinstance(connection, module.Connection):
        return Found(pyopenssl(), _pyopenssl_pointer(connection, "_ssl"))
    if isinstance(connection, (ssl.SSLSocket, ssl.SSLObject)):
        return _stdlib_connection(connection)
    return None


def stated_address(connection: object) -> int:
    """Return the address of pyOpenSSL's ``SSL *`` that a connection states in ``ssl_address``; 0 for all others."""
    # Its class is asked: pyOpenSSL's connections answer for each name that they lack by Python.
    return int(connection.ssl_address) if hasattr(type(connection), "ssl_address") else 0  # type: ignore[attr-defined]


# pyOpenSSL


def _pyopenssl_module() -> Any:
    """OpenSSL.SSL, if the program uses it: who has one of its contexts has imported it."""
    return sys.modules.get("OpenSSL.SSL")


def _pyopenssl_pointer(owner: object, field: str) -> int:
    pointer = getattr(owner, field, None)
    if pointer is None:
        raise HookError(f"this pyOpenSSL keeps no {field}: install pyOpenSSL 22 to 26")
    return int(_as_number()(pointer))


def _address(pointer: object) -> int:
    return int(_as_number()(pointer))


@cache
def _as_number() -> Any:
    from OpenSSL._util import ffi

    return partial(ffi.cast, ffi.typeof("uintptr_t"))


@cache
def pyopenssl() -> Library:
    """Return pyOpenSSL's OpenSSL: wherever the table lies that its own TLS_method() points to."""
    from OpenSSL._util import lib

    method = _address(lib.TLS_method())
    mapping = elf.mapping_at(method)
    if mapping is None or not mapping.path:
        raise _refusal("pyOpenSSL's OpenSSL", "no file of this process holds its functions")
    library = _library_in(mapping.path, "pyOpenSSL's OpenSSL")
    ours = (library.functions.TLS_method(), library.functions.OpenSSL_version(0))
    if ours != (method, _address(lib.OpenSSL_version(0))):
        raise _refusal("pyOpenSSL's OpenSSL", f"the functions found in {mapping.path} belong to another copy")
    return library


# The standard library


@cache
def _stdlib() -> Library:
    """Return the OpenSSL that ``_ssl`` is linked with: a shared libssl,
    or one inside the module or inside Python itself.
    """
    import _ssl  # private, and the only handle on what ssl is linked with

    if sys.implementation.name != "cpython":
        raise _refusal("ssl's OpenSSL", f"{sys.implementation.name} isn't CPython")
    path = getattr(_ssl, "__file__", None)
    library = _library_in(path, "ssl's OpenSSL") if path else _builtin(_ssl)
    if library.version != ssl.OPENSSL_VERSION:
        raise _refusal("ssl's OpenSSL", f"found {library.version} where ssl uses {ssl.OPENSSL_VERSION}")
    return library


def _builtin(module: ModuleType) -> Library:
    """``_ssl`` as a part of Python itself: OpenSSL is inside the program or its libpython, or shared after all."""
    python = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value
    mapping = elf.mapping_at(python or 0)
    if mapping is None or not mapping.path:
        raise _refusal("ssl's OpenSSL", f"{module.__name__} is built into a Python that can't be found in memory")
    return _library_in(mapping.path, "ssl's OpenSSL")


def _stdlib_context(context: ssl.SSLContext, library: Library) -> int:
    """Return the ``SSL_CTX *`` of an SSLContext, believed only if OpenSSL reads from it what Python reads.

    Raises HookError for a Python whose objects are laid out otherwise.
    """
    pointer = _field(context, 0)
    mapping = elf.mapping_at(pointer) if not _layout_known else None
    if not _layout_known and (mapping is None or not mapping.writable):
        raise _refusal("ssl's OpenSSL", "this Python keeps its contexts in another way")
    functions = library.functions
    seen = (functions.SSL_CTX_get_options(pointer), functions.SSL_CTX_get_verify_mode(pointer) & 3)
    if seen != (int(context.options) & (1 << 64) - 1, _VERIFY_MODES[context.verify_mode]):
        raise _refusal("ssl's OpenSSL", "this Python keeps its contexts in another way")
    _layout_known.add(True)
    return pointer


_VERIFY_MODES = {ssl.CERT_NONE: 0, ssl.CERT_OPTIONAL: 1, ssl.CERT_REQUIRED: 3}
_layout_known: set[bool] = set()
"""Not empty once a context was seen to be laid out as expected: reading the memory map for each would cost 300 us."""


def _stdlib_connection(connection: ssl.SSLSocket | ssl.SSLObject) -> Found | None:
    """Return fields of ``_ssl._SSLSocket``: the socket, the ``SSL *``, and its context,
    by which the place is recognised.
    """
    inner = getattr(connection, "_sslobj", None)
    if inner is None:
        return None
    if _field(inner, 2) != id(inner.context):
        raise _refusal("ssl's OpenSSL", "this Python keeps its connections in another way")
    return Found(_stdlib(), _field(inner, 1))


def _field(owner: object, index: int) -> int:
    place = id(owner) + _HEADER_BYTES + index * _POINTER_BYTES
    return ctypes.c_void_p.from_address(place).value or 0


# Any of them


_libraries: dict[int, Library] = {}
"""By the address of TLS_method: pyOpenSSL and ssl can share one libssl, which must then be hooked once."""


def _library_in(path: str, what: str) -> Library:
    """Return the OpenSSL inside the loaded file at `path`, or that which the file links."""
    if _POINTER_BYTES < 8:
        raise HookError("meshcache needs a 64-bit Python: a session's token fills a pointer of 64 bits")
    address_of = _resolver(path)
    if address_of is None:
        raise _refusal(
            what, f"{path} shows no functions of OpenSSL's: stripped, or replaced on disk while it is in use"
        )
    try:
        functions = Functions(address_of)
    except HookError as error:
        raise _refusal(what, str(error)) from error
    address = address_of("TLS_method")
    assert address is not None, "Functions has checked it"
    version = ctypes.string_at(functions.OpenSSL_version(0)).decode("ascii", "replace")
    if not version.startswith("OpenSSL ") or int(version.split()[1].partition(".")[0]) < 3:
        raise _refusal(what, f"it is {version}; {_TLS_FLOOR_OPENSSL}")
    return _libraries.setdefault(address, Library(path, version, functions))


def _resolver(path: str) -> Callable[[str], int | None] | None:
    """Return how to look a function up: inside the file when OpenSSL is there, else in the libraries that it links."""
    image = elf.image_of(path)
    if image is None:
        return None
    inside = elf.hidden(image, PROTOTYPES)
    if "SSL_CTX_new" in inside:
        return inside.get
    try:
        outside = elf.exported(None if Path(path) == Path(sys.executable).resolve() else path)
    except OSError:
        return None
    return outside if outside("SSL_CTX_new") else None


def _refusal(what: str, why: str) -> HookError:
    return HookError(
        f"{what} can't be hooked: {why}. Install cryptography's own wheel for Linux "
        "(pip install --force-reinstall --only-binary :all: cryptography pyOpenSSL), "
        "or use a Python that is linked with a shared OpenSSL 3 or later, as Debian's is"
    )
