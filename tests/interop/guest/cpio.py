"""Writes cpio archives in the "newc" format, which the kernel unpacks as its first root (initramfs buffer format)."""

import stat
from pathlib import Path
from typing import BinaryIO

MAGIC = b"070701"
ALIGNMENT_BYTES = 4
LAYER_ALIGNMENT_BYTES = 512
"""Each archive is padded with zeros to a multiple of this size, so that archives can be concatenated."""

TRAILER = "TRAILER!!!"
CONSOLE = (5, 1)
"""Major and minor number of /dev/console, which the kernel opens for the first process of the guest."""


class Archive:
    """Writes entries to `file`, and adds the parent folders of each entry. `close` ends the archive but leaves `file` open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: set[str] = set()

    def add_file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def add_path(self, name: str, path: Path) -> None:
        """Add the content of the file `path` and its permission to execute. Symbolic links are followed."""
        self.add_file(name, path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))

    def add_link(self, name: str, points_to: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, points_to.encode())

    def add_folder(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755)

    def add_console(self) -> None:
        self._add("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE)

    def close(self) -> None:
        self._write_entry(TRAILER, 0, b"", (0, 0))
        self._pad(LAYER_ALIGNMENT_BYTES)

    def _add(self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        if name in self._names:
            return
        parent = str(Path(name).parent)
        if parent != ".":
            self.add_folder(parent)
        self._names.add(name)
        self._write_entry(name, mode, data, device)

    def _write_entry(self, name: str, mode: int, data: bytes, device: tuple[int, int]) -> None:
        encoded = name.encode() + b"\0"
        # inode, mode, owner, group, links, time, size, device (2), device of a special file (2), name size, checksum
        fields = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._file.write(MAGIC + b"".join(b"%08x" % field for field in fields) + encoded)
        self._pad(ALIGNMENT_BYTES)
        self._file.write(data)
        self._pad(ALIGNMENT_BYTES)

    def _pad(self, alignment_bytes: int) -> None:
        self._file.write(bytes(-self._file.tell() % alignment_bytes))
