from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.bindings import _rust

from meshcache.tls import elf

WHEEL = str(_rust.__file__)
with Path(WHEEL).open("rb") as _file:
    HEAD = _file.read(4096)


def libc() -> str:
    address = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    mapping = elf.mapping_at(address or 0)
    assert mapping is not None
    return mapping.path


def test_hidden_functions_are_found_and_can_be_called() -> None:
    image = elf.image_of(WHEEL)
    assert image is not None
    found = elf.hidden(image, ["OpenSSL_version", "SSL_CTX_new", "no_such_function"])
    assert set(found) == {"OpenSSL_version", "SSL_CTX_new"}
    version = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_int)(found["OpenSSL_version"])(0)
    assert version.startswith(b"OpenSSL ")
    mapping = elf.mapping_at(found["SSL_CTX_new"])
    assert mapping is not None
    assert mapping.path == WHEEL


def test_exported_functions_are_found_where_the_file_itself_finds_them() -> None:
    address_of = elf.exported(libc())
    expected = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p).value
    assert address_of("getpid") == expected
    assert address_of("no_such_function") is None


def test_a_file_that_is_not_loaded_is_not_loaded_by_asking(tmp_path: Path) -> None:
    copy = tmp_path / "copy.so"
    copy.write_bytes(Path(libc()).read_bytes())
    assert elf.image_of(str(copy)) is None
    with pytest.raises(OSError, match="dlopen"):
        elf.exported(str(copy))
    assert not [mapping for mapping in elf.read_mappings() if mapping.path == str(copy)]


def test_no_mapping_is_at_an_address_that_is_not_in_use() -> None:
    assert elf.mapping_at(0) is None
    assert elf.mapping_at(0xFFF) is None


def test_without_proc_nothing_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(elf, "MAPS", tmp_path / "maps")
    assert elf.read_mappings() == []
    assert elf.image_of(WHEEL) is None


def test_a_mapping_is_read_as_the_kernel_writes_it() -> None:
    line = "7f00a000-7f00b000 rw-p 00001000 fe:01 1234                       /usr/lib/with a space.so"
    assert elf._parse_mapping(line) == elf.Mapping(0x7F00A000, 0x7F00B000, True, 0x1000, "/usr/lib/with a space.so")
    assert elf._parse_mapping("7f00a000-7f00b000 r--p 0 00:00 0").path == ""


def symbols(*rows: tuple[int, int, int, int]) -> bytes:
    """A symbol table of (name, info, section, value)."""
    return b"".join(struct.pack("IBBHQQ", name, info, 0, section, value, 5) for name, info, section, value in rows)


def test_a_name_that_stands_for_two_functions_is_left_out() -> None:
    strings = b"\0one\0two\0prefix_one\0"
    rows = [(1, 0x12, 1, 100), (1, 0x12, 1, 200), (5, 0x12, 1, 300), (5, 0x12, 1, 300), (9, 0x12, 1, 400)]
    assert elf._functions(symbols(*rows), strings, ["one", "two"]) == {"two": 300}


def test_a_name_may_be_the_end_of_another() -> None:
    table = symbols((8, 0x12, 1, 100), (1, 0x12, 1, 200))
    assert elf._functions(table, b"\0prefix_one\0", ["one"]) == {"one": 100}


def test_data_and_undefined_symbols_are_no_functions() -> None:
    assert elf._functions(symbols((1, 0x11, 1, 100), (1, 0x12, 0, 0)), b"\0one\0", ["one"]) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x7fELF",
        b"not a library" * 10,
        HEAD[:4] + b"\x01" + HEAD[5:],
        HEAD,
    ],
    ids=["empty", "short", "text", "32 bits", "cut short"],
)
def test_a_file_without_symbols_that_can_be_read_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(content)
    assert elf.hidden(elf.Image(str(path), 0), ["SSL_CTX_new"]) == {}
