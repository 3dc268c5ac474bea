"""Reads the shared libraries that a program needs, and the modules that a kernel module needs, from their files."""

import struct
from pathlib import Path

SECTION_DYNAMIC = 6
TAG_NEEDED = 1
SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
DYNAMIC_ENTRY = struct.Struct("<qQ")


def needed_libraries(path: Path) -> list[str]:
    """List the DT_NEEDED names of a 64-bit little-endian ELF file; empty for a static program or another kind of file."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        return []
    (table,) = struct.unpack_from("<Q", data, 0x28)
    entry_bytes, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [SECTION_HEADER.unpack_from(data, table + number * entry_bytes) for number in range(count)]
    for _, kind, _, _, offset, size, link, _, _, _ in sections:
        if kind == SECTION_DYNAMIC:
            strings = sections[link][4]
            entries = DYNAMIC_ENTRY.iter_unpack(data[offset : offset + size])
            return [_string(data, strings + value) for tag, value in entries if tag == TAG_NEEDED]
    return []


def _string(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def needed_modules(path: Path) -> list[str]:
    """List the names in the `depends=` line of a kernel module, with `_` for `-`."""
    data = path.read_bytes()
    start = data.find(b"\0depends=")
    if start < 0:
        return []
    names = _string(data, start + len(b"\0depends="))
    return [module_name(name) for name in names.split(",") if name]


def module_name(name: str) -> str:
    """Convert a file name of a module to the kernel's spelling, which has `_` for `-`."""
    return name.removesuffix(".ko").replace("-", "_")
