"""What a guest is made of, read back by programs that nobody here wrote, and by the bytes of the formats."""

import io
import lzma
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.guest import elf
from tests.interop.guest.cpio import LAYER_ALIGNMENT_BYTES, Archive
from tests.interop.guest.image import uncompressed_kernel
from tests.interop.guest.packages import CannotBuild
from tests.interop.programs import need

HEADER_BYTES = 110
"""Six of magic and thirteen numbers of eight digits (initramfs buffer format)."""


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content by name, read by the description of the format alone."""
    found: dict[str, tuple[int, bytes]] = {}
    position = 0
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * number :][:8], 16) for number in range(13)]
        mode, size, name_bytes = fields[1], fields[6], fields[11]
        name = archive[position + HEADER_BYTES :][: name_bytes - 1].decode()
        start = (position + HEADER_BYTES + name_bytes + 3) & ~3
        if name == "TRAILER!!!":
            assert not archive[start:].strip(b"\0")
            return found
        assert name not in found
        found[name] = (mode, archive[start : start + size])
        position = (start + size + 3) & ~3


def archived(*, odd_bytes: int = 3) -> bytes:
    file = io.BytesIO()
    archive = Archive(file)
    archive.add_file("bin/program", b"x" * odd_bytes, executable=True)
    archive.add_file("bin/data", b"")
    archive.add_link("sbin", "/bin")
    archive.add_folder("a/b/c")
    archive.add_file("bin/program", b"the second of a name is left out")
    archive.close()
    return file.getvalue()


@pytest.mark.parametrize("odd_bytes", range(5))
def test_an_archive_has_each_entry_once_and_every_folder_above_it(odd_bytes: int) -> None:
    archive = archived(odd_bytes=odd_bytes)
    found = entries(archive)
    assert found == {
        "bin": (0o040755, b""),
        "bin/program": (0o100755, b"x" * odd_bytes),
        "bin/data": (0o100644, b""),
        "sbin": (0o120777, b"/bin"),
        "a": (0o040755, b""),
        "a/b": (0o040755, b""),
        "a/b/c": (0o040755, b""),
    }
    assert len(archive) % LAYER_ALIGNMENT_BYTES == 0


def test_a_console_is_a_character_device() -> None:
    file = io.BytesIO()
    archive = Archive(file)
    archive.add_console()
    archive.close()
    data = file.getvalue()
    assert entries(data)["dev/console"] == (0o020600, b"")
    header = data[data.index(b"dev/console") - HEADER_BYTES :]
    assert [int(header[6 + 8 * number :][:8], 16) for number in (9, 10)] == [5, 1]


def test_cpio_lists_the_archive() -> None:
    need("cpio")
    listed = subprocess.run(["cpio", "-itv", "--quiet"], input=archived(), capture_output=True, check=True, timeout=30)
    lines = listed.stdout.decode().splitlines()
    assert [line.split()[8] for line in lines] == ["bin", "bin/program", "bin/data", "sbin", "a", "a/b", "a/b/c"]
    assert [line.split()[0] for line in lines[:4]] == ["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx"]


def test_the_libraries_of_a_program_are_those_that_the_loader_finds() -> None:
    program = Path(shutil.which("sh") or sys.executable).resolve()
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=30).stdout
    needed, loaded = elf.needed_libraries(program), {line.split()[0] for line in listed.splitlines()}
    assert needed
    assert set(needed) <= {Path(name).name for name in loaded}


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(64)])
def test_what_is_no_elf_file_of_64_bits_needs_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert elf.needed_libraries(path) == []


@pytest.mark.parametrize(
    ("said", "needed"),
    [
        (b"\0license=GPL\0depends=libiscsi_tcp,scsi-transport-iscsi\0vermagic=6.1\0", ["libiscsi_tcp", "scsi_transport_iscsi"]),
        (b"\0depends=\0", []),
        (b"\0license=GPL\0", []),
    ],
)
def test_what_a_module_needs(tmp_path: Path, said: bytes, needed: list[str]) -> None:
    path = tmp_path / "iscsi-tcp.ko"
    path.write_bytes(b"\x7fELF" + said)
    assert elf.needed_modules(path) == needed
    assert elf.module_name(path.name) == "iscsi_tcp"


def boot_image(payload: bytes, *, setup_sectors: int) -> bytes:
    """A bzImage as far as the boot protocol says where its payload is."""
    offset = 48
    head = bytearray((setup_sectors or 4) * 512 + 512)
    head[0x1F1] = setup_sectors
    struct.pack_into("<II", head, 0x248, offset, len(payload))
    return bytes(head) + bytes(offset) + payload + b"what follows"


@pytest.mark.parametrize("setup_sectors", [0, 1, 27])
def test_the_kernel_in_a_boot_image(setup_sectors: int) -> None:
    kernel = b"\x7fELF" + bytes(range(256)) * 20
    assert uncompressed_kernel(boot_image(lzma.compress(kernel), setup_sectors=setup_sectors)) == kernel


def test_a_kernel_compressed_in_another_way_is_told() -> None:
    with pytest.raises(CannotBuild, match="not compressed with xz"):
        uncompressed_kernel(boot_image(b"\x1f\x8b" + bytes(100), setup_sectors=1))
