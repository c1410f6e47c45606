"""Finds functions of a library that this process has already loaded, exported or not, and nothing else.

Never loads a library: a second copy of OpenSSL in one process corrupts memory (its objects would be made by one copy
and freed by the other). Linux only, since only there wheels keep their symbols.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

MAPS = Path("/proc/self/maps")

_COMPARED_BYTES = 4096
"""ELF header, program headers and build id: what is compared between the file and the memory that it should be."""

# elf(5), for 64 bits in this machine's byte order: no other file can be loaded here, and `libssl` asks for 64 bits.
# pyelftools, which reads any ELF file, takes 30 ms to import (most of that is DWARF), and more to read than this.
_HEADER = Struct("16sHHIQQQIHHHHHH")
_SEGMENT = Struct("IIQQQQQQ")
_SECTION = Struct("IIQQQQIIQQ")
_SYMBOL = Struct("IBBHQQ")
_MAGIC = b"\x7fELF\x02" + (b"\x01" if sys.byteorder == "little" else b"\x02")
_PT_LOAD = 1
_SHT_SYMTAB = 2
_STT_FUNC = 2


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of /proc/self/maps (proc(5)) that has a file behind it."""

    start: int
    end: int
    writable: bool
    offset: int
    path: str


@dataclass(frozen=True, slots=True)
class Image:
    """A file as it lies in this process's memory: ``base`` is what an address in the file counts from."""

    path: str
    base: int


def read_mappings() -> list[Mapping]:
    """Return the memory of this process; anonymous memory has an empty path. Empty where there is no /proc."""
    try:
        text = MAPS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [_parse_mapping(line) for line in text.splitlines()]


def _parse_mapping(line: str) -> Mapping:
    fields = line.split(maxsplit=5)
    start, end = (int(part, 16) for part in fields[0].split("-"))
    return Mapping(start, end, "w" in fields[1], int(fields[2], 16), fields[5] if len(fields) == 6 else "")


def mapping_at(address: int) -> Mapping | None:
    """Return the mapping that holds this address, or None: reading there would crash."""
    return next((mapping for mapping in read_mappings() if mapping.start <= address < mapping.end), None)


def image_of(path: str) -> Image | None:
    """Return where the file at `path` is loaded; None when it isn't, or when the file has been replaced since it was.

    The kernel maps the file's first page first (offset 0); an executable that isn't relocated counts from 0.
    """
    real = str(Path(path).resolve())
    start = next((mapping.start for mapping in read_mappings() if mapping.path == real and mapping.offset == 0), None)
    if start is None:
        return None
    try:
        with Path(real).open("rb") as file:
            head = file.read(_COMPARED_BYTES)
            same = ctypes.string_at(start, len(head)) == head
            return Image(real, start - _first_address(file)) if same else None
    except (OSError, _NotReadableError):
        return None


def exported(path: str | None) -> Callable[[str], int | None]:
    """Return a function that looks names up as the loaded file at `path` itself would: in it, then in the libraries it
    links.

    None stands for the program. Raises OSError when the file isn't loaded (it is never loaded here).
    """
    handle = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_NOW)

    def address_of(name: str) -> int | None:
        try:
            return ctypes.cast(getattr(handle, name), ctypes.c_void_p).value
        except AttributeError:
            return None

    return address_of


def hidden(image: Image, names: Collection[str]) -> dict[str, int]:
    """Return addresses of the functions of these names in the file's own symbol table (.symtab), whatever their
    visibility.

    A name that stands there twice with different addresses is left out: which one is meant can't be known.
    36,000 symbols take 12 ms.
    """
    with Path(image.path).open("rb") as file:
        try:
            symbols, strings = _symbol_table(file)
        except _NotReadableError:
            return {}
    return {name: image.base + value for name, value in _functions(symbols, strings, names).items()}


class _NotReadableError(Exception):
    """This isn't an ELF file as `_HEADER` says, or it lacks what is looked for."""


class _Tables(NamedTuple):
    """Where an ELF header says that the program's segments and the file's sections are listed, and how many."""

    segments_at: int
    segments: int
    sections_at: int
    sections: int


def _tables(file: BinaryIO) -> _Tables:
    ident, _, _, _, _, segments_at, sections_at, _, _, _, segments, _, sections, _ = _HEADER.unpack(
        _part(file, 0, _HEADER.size)
    )
    if not ident.startswith(_MAGIC):
        raise _NotReadableError
    return _Tables(segments_at, segments, sections_at, sections)


def _first_address(file: BinaryIO) -> int:
    """Return the page that the first loaded segment is linked for."""
    at = _tables(file)
    for kind, _, _, address, *_ in _SEGMENT.iter_unpack(_part(file, at.segments_at, at.segments * _SEGMENT.size)):
        if kind == _PT_LOAD:
            return int(address) & ~(_COMPARED_BYTES - 1)
    raise _NotReadableError


def _symbol_table(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return .symtab, and the names that it refers to; a stripped file has neither."""
    at = _tables(file)
    sections = list(_SECTION.iter_unpack(_part(file, at.sections_at, at.sections * _SECTION.size)))
    for _, kind, _, _, offset, size, names, *_ in sections:
        if kind == _SHT_SYMTAB and names < len(sections):
            strings_at, strings_bytes = sections[names][4:6]
            return _part(file, offset, size - size % _SYMBOL.size), _part(file, strings_at, strings_bytes)
    raise _NotReadableError


def _part(file: BinaryIO, offset: int, size: int) -> bytes:
    if offset + size > os.fstat(file.fileno()).st_size:
        raise _NotReadableError
    file.seek(offset)
    return file.read(size)


def _functions(symbols: bytes, strings: bytes, names: Collection[str]) -> dict[str, int]:
    wanted = {name.encode(): name for name in names}
    found: dict[str, int] = {}
    twice: set[str] = set()
    for offset, info, _, section, value, _ in _SYMBOL.iter_unpack(symbols):
        if info & 15 != _STT_FUNC or section == 0:
            continue
        name = wanted.get(strings[offset : strings.find(b"\0", offset)])
        if name is not None and found.setdefault(name, value) != value:
            twice.add(name)
    return {name: value for name, value in found.items() if name not in twice}
