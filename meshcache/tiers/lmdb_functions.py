"""Finds LMDB's own functions in the module that py-lmdb is, and its environment, for the compiled writer.

py-lmdb gives the interpreter's lock back and takes it again for each call: three times for each entry, and each time
it waits for a handshake or one waits for it. As with OpenSSL (`tls.libssl`) nothing is loaded, no layout is assumed,
and what can't be found with certainty is not used: then py-lmdb writes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import meshcache.hot as hot
from meshcache.tiers.disk_check import NAMES
from meshcache.tls import elf

if TYPE_CHECKING:
    from meshcache.hot import TierFile

_NAMES = (
    *("txn_begin", "txn_commit", "txn_abort", "dbi_open", "get", "put", "del"),
    *("cursor_open", "cursor_close", "cursor_get", "stat", "env_stat", "env_info"),
)

_TO_KNOW_IT = ("env_get_fd", "env_get_flags", "version")

_PREFIXES = ("mdb09_", "mdb_")
"""py-lmdb 3 has LMDB 0.9 beside 1.0, whose functions it names ``mdb10_``; those before it have 0.9 only."""

_HEADER_BYTES = object.__basicsize__
_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
_ENV_BYTES = 1024
"""Of an ``MDB_env``, and more: so much has to be there to be read before a number is taken for a pointer to one."""


def writer(environment: Any, folder: Path, turn: int) -> TierFile | None:
    """Return a writer to py-lmdb's environment over the file in this folder, or None where py-lmdb is to write.

    `turn` is the last that was given. Keep the environment open for as long as the writer is used.
    """
    if hot.compiled is None or _POINTER_BYTES != 8:
        return None
    try:
        functions = _functions(environment)
        env = None if functions is None else _pointer(environment, functions, folder)
        if functions is None or env is None:
            return None
        found: TierFile = hot.compiled.TierFile(functions, env, *NAMES, turn)
    except (OSError, ValueError, AttributeError):
        return None
    return found


def _functions(environment: Any) -> Mapping[str, int] | None:
    """Return addresses by the names of lmdb.h, without their prefix."""
    module = sys.modules.get("lmdb.cpython")
    if module is None or type(environment) is not module.Environment:
        return None
    lib_version = getattr(environment, "lib_version", None)
    if lib_version is not None and lib_version()[:2] != (0, 9):
        return None
    path = module.__file__
    image = elf.image_of(path) if path else None
    if image is None:
        return None
    wanted = {prefix + name for prefix in _PREFIXES for name in (*_NAMES, *_TO_KNOW_IT)}
    hidden = elf.hidden(image, wanted)
    for prefix in _PREFIXES:
        found = {name: hidden.get(prefix + name, 0) for name in (*_NAMES, *_TO_KNOW_IT)}
        if all(found.values()) and _is_known(found["version"]):
            return found
    return None


def _is_known(version: int) -> bool:
    major, minor, patch = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    told = ctypes.CFUNCTYPE(ctypes.c_char_p, *[ctypes.POINTER(ctypes.c_int)] * 3)(version)
    told(ctypes.byref(major), ctypes.byref(minor), ctypes.byref(patch))
    return (major.value, minor.value) == (0, 9)


def _pointer(environment: Any, functions: Mapping[str, int], folder: Path) -> int | None:
    """Return py-lmdb's ``MDB_env *``: the one field of its object of which LMDB says what py-lmdb and the file say."""
    file = (folder / "data.mdb").stat()
    flags = {each: bool(set_) for each, set_ in environment.flags().items() if each in _FLAGS}
    found = {
        pointer
        for pointer in _pointers_in(environment)
        if _file_of(pointer, functions) == (file.st_dev, file.st_ino) and _flags_of(pointer, functions) == flags
    }
    return found.pop() if len(found) == 1 else None


_FLAGS = {
    "sync": (0x10000, False),
    "metasync": (0x40000, False),
    "readonly": (0x20000, True),
    "writemap": (0x80000, True),
}
"""lmdb.h: MDB_NOSYNC, MDB_NOMETASYNC, MDB_RDONLY, MDB_WRITEMAP; and whether py-lmdb says the same or the opposite."""


def _pointers_in(environment: Any) -> Iterator[int]:
    mappings = [each for each in elf.read_mappings() if each.writable]
    for place in range(
        id(environment) + _HEADER_BYTES, id(environment) + type(environment).__basicsize__, _POINTER_BYTES
    ):
        pointer = ctypes.c_void_p.from_address(place).value or 0
        if pointer % _POINTER_BYTES == 0 and any(
            each.start <= pointer and pointer + _ENV_BYTES <= each.end for each in mappings
        ):
            yield pointer


def _file_of(pointer: int, functions: Mapping[str, int]) -> tuple[int, int] | None:
    descriptor = ctypes.c_int(-1)
    told = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(functions["env_get_fd"])
    if told(pointer, ctypes.byref(descriptor)) or descriptor.value < 0:
        return None
    try:
        status = os.fstat(descriptor.value)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _flags_of(pointer: int, functions: Mapping[str, int]) -> dict[str, bool]:
    told = ctypes.c_uint()
    get = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint))(functions["env_get_flags"])
    get(pointer, ctypes.byref(told))
    return {name: bool(told.value & bit) == as_it_is for name, (bit, as_it_is) in _FLAGS.items()}
