"""Tests of the files of a guest, which are read by programs of other projects or compared with the bytes of the formats."""

import io
import lzma
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.interop.guest import elf, image
from tests.interop.guest.cpio import LAYER_ALIGNMENT_BYTES, Archive
from tests.interop.guest.image import uncompressed_kernel
from tests.interop.guest.layers import UML_MODULES
from tests.interop.guest.packages import CannotBuild, Packages
from tests.interop.programs import need

HEADER_BYTES = 110
"""Size of a header: a magic of six bytes and thirteen numbers of eight digits (initramfs buffer format)."""


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read an archive by the description of its format; returns mode and content by name."""
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
    """Make a bzImage with only the fields by which the boot protocol locates the payload."""
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


class Unpacked(Packages):
    """Packages that have been unpacked into a folder already."""

    def resolve(self, names: Sequence[str]) -> list[str]:
        return [f"{name}_1_all.deb" for name in names]

    def unpack(self, names: Sequence[str], files: Iterable[str]) -> list[Path]:
        return [self._folder_of(file) for file in files]


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Folder of the only package in UML_MODULES."""
    folder = tmp_path / "unpacked/user-mode-linux_1_all"
    (folder / "usr/lib/uml/modules").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("ending", ["xz", "zst", "gz"])
def test_modules_that_are_compressed_are_told(tmp_path: Path, unpacked: Path, ending: str) -> None:
    (unpacked / f"usr/lib/uml/modules/iscsi_tcp.ko.{ending}").touch()
    with pytest.raises(CannotBuild, match=r"modules of \('user-mode-linux',\) are compressed"):
        image._Builder(tmp_path, Unpacked(tmp_path)).initramfs([UML_MODULES])
    assert not list(tmp_path.glob("*.half")), "what is not whole does not stay"


def test_packages_without_a_kernel_are_told(tmp_path: Path, unpacked: Path) -> None:
    with pytest.raises(CannotBuild, match=r"none of \('user-mode-linux',\) has a kernel"):
        image._Builder(tmp_path, Unpacked(tmp_path)).kernel(UML_MODULES)


def test_a_kernel_may_be_executed_as_soon_as_it_is_there(
    tmp_path: Path, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (unpacked / "usr/bin").mkdir()
    (unpacked / "usr/bin/linux.uml").write_bytes(b"kernel")
    rename = Path.rename

    def look_and_rename(path: Path, to: Path) -> Path:
        assert path.stat().st_mode & 0o111
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", look_and_rename)
    assert image._Builder(tmp_path, Unpacked(tmp_path)).kernel(UML_MODULES).read_bytes() == b"kernel"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [(["uml"], 1, "the cache of guests: "), (["kvm"], 2, "kvm is not uml or qemu")],
)
def test_what_cannot_be_built_by_hand_is_one_line(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    (tmp_path / "odx-target").write_text("a file where a folder has to be")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.interop.guest.image", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (status, 1), ended.stderr
    assert said in ended.stderr
