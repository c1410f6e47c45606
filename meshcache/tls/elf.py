"""Finds functions of a library that this process has already loaded, exported or not, and nothing else.

Never loads a library: a second copy of OpenSSL in one process corrupts memory (its objects would be made by one copy
and freed by the other). Linux only, since only there wheels keep their symbols.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

MAPS = Path("/proc/self/maps")

_COMPARED_BYTES = 4096
"""ELF header, program headers and build id: what is compared between the file and the memory that it should be."""

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
    except (OSError, ELFError):
        return None


def _first_address(file: BinaryIO) -> int:
    segments = ELFFile(file).iter_segments(type="PT_LOAD")
    return int(next(segments)["p_vaddr"]) & ~(_COMPARED_BYTES - 1)


def exported(path: str | None) -> Callable[[str], int | None]:
    """Look names up as the loaded file at `path` itself would: in it, then in the libraries it links.

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
    36,000 symbols take 20 ms with struct; pyelftools' own iterator needs 0.8 s.
    """
    with Path(image.path).open("rb") as file:
        try:
            elf = ELFFile(file)
            table = elf.get_section_by_name(".symtab")
            strings = elf.get_section_by_name(".strtab")
        except ELFError:
            return {}
        if table is None or strings is None:
            return {}
        entries = _entries(elf.elfclass, elf.little_endian, table.data())
        return {name: image.base + value for name, value in _functions(entries, strings.data(), names).items()}


def _entries(bits: int, little: bool, table: bytes) -> list[tuple[int, int, int, int]]:
    """(name, info, section, value) of every symbol; the two classes order their fields differently (elf(5))."""
    order = "<" if little else ">"
    if bits == 64:
        rows = Struct(order + "IBBHQQ").iter_unpack(table)
        return [(name, info, section, value) for name, info, _, section, value, _ in rows]
    rows = Struct(order + "IIIBBH").iter_unpack(table)
    return [(name, info, section, value) for name, value, _, info, _, section in rows]


def _functions(entries: list[tuple[int, int, int, int]], strings: bytes, names: Collection[str]) -> dict[str, int]:
    wanted = {name.encode(): name for name in names}
    found: dict[str, int] = {}
    twice: set[str] = set()
    for offset, info, section, value in entries:
        if info & 15 != _STT_FUNC or section == 0:
            continue
        name = wanted.get(strings[offset : strings.find(b"\0", offset)])
        if name is not None and found.setdefault(name, value) != value:
            twice.add(name)
    return {name: value for name, value in found.items() if name not in twice}
