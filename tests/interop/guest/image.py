"""Builds kernel and initramfs from Debian packages.

Each layer becomes one archive. The name of an archive is a digest of the versions of its packages and of its contents. An
initramfs consists of concatenated layers. Run as a program, this module builds all images and prints their paths.
"""

import fcntl
import lzma
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from tests.interop.guest import elf
from tests.interop.guest.cpio import Archive
from tests.interop.guest.layers import EXTRAS, LATE_MODULES, PROGRAMS, QEMU_MODULES, UML_MODULES, Layer
from tests.interop.guest.packages import HALF, CannotBuild, Packages, digest

HERE = Path(__file__).parent
FILES = HERE / "files"
"""Folder of this project's files for a guest: the first program, shell functions and settings."""

BUILDER = ("cpio.py", "elf.py", "image.py")
"""Sources on which the content of an archive depends, in addition to the packages."""

KEPT_UNUSED_S = 7 * 86_400

LOCK_TIMEOUT_S = 900
"""Time to wait for another builder; more than a slow build with all downloads takes."""

KINDS = {"uml": UML_MODULES, "qemu": QEMU_MODULES}
"""Layer of modules for each kind of kernel."""

OWN = {
    # path in the guest: (file here, executable)
    "init": ("init.sh", True),
    "lib/scenario.sh": ("scenario.sh", False),
    "lib/lio.sh": ("lio.sh", False),
    "lib/multipath.sh": ("multipath.sh", False),
    "etc/iscsi/iscsid.conf": ("iscsid.conf", False),
    "etc/multipath.conf": ("multipath.conf", False),
}

PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin")
KERNELS = ("usr/bin/linux.uml", "boot/vmlinuz*")
LIBRARY_FOLDER = "lib/x86_64-linux-gnu"
LOADER = "ld-linux-x86-64.so.2"
XZ_MAGIC = b"\xfd7zXZ\0"


@dataclass(frozen=True, slots=True)
class Image:
    kernel: Path
    initramfs: Path


def cache_folder() -> Path:
    """Path of the cache, `$XDG_CACHE_HOME/odx-target/guest`. It takes 1 to 2 GB and may be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "odx-target" / "guest"


def build(kind: str, extras: tuple[str, ...] = ()) -> Image:
    """Build the image for one of `KINDS`, with these layers of `EXTRAS`.

    Raises CannotBuild, also if the cache cannot be written or has no room.
    """
    try:
        folder = cache_folder()
    except RuntimeError as error:
        raise CannotBuild(f"the cache of guests: {error}") from None
    outcome = _outcome(folder, kind, extras)
    if isinstance(outcome, str):
        raise CannotBuild(outcome)
    return outcome


@cache
def _outcome(folder: Path, kind: str, extras: tuple[str, ...]) -> Image | str:
    """Return the image, or the reason why it cannot be built. The result is cached, because a build may take minutes."""
    try:
        return _build(folder, kind, extras)
    except CannotBuild as error:
        return str(error)
    except (OSError, subprocess.SubprocessError) as error:
        return f"the cache of guests: {error}"


def _build(folder: Path, kind: str, extras: tuple[str, ...]) -> Image:
    modules = KINDS[kind]
    layers = [modules, PROGRAMS, *(EXTRAS[name] for name in extras)]
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        packages = Packages(folder)
        packages.refresh()
        builder = _Builder(folder, packages)
        image = Image(builder.kernel(modules), builder.initramfs(layers))
        builder.forget_unused(layers)
        return image


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the builder, so that only one builder runs at a time. Raises CannotBuild after LOCK_TIMEOUT_S."""
    deadline_s = time.monotonic() + LOCK_TIMEOUT_S
    with path.open("w") as file:
        while not _lock(file):
            if time.monotonic() > deadline_s:
                raise CannotBuild(f"{path}: somebody else has been building for {LOCK_TIMEOUT_S} s")
            time.sleep(0.1)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Builder:
    def __init__(self, folder: Path, packages: Packages) -> None:
        self._folder = folder
        self._packages = packages
        self._files = cache(lambda layer: packages.resolve(layer.packages))
        self._used: set[Path] = set()

    def kernel(self, layer: Layer) -> Path:
        """Return the kernel that matches the modules: a program for UML, an ELF file for QEMU."""
        made = self._folder / f"{layer.name}-{digest(self._files(layer))}.kernel"
        self._used.add(made)
        if not made.exists():
            folders = self._packages.unpack(layer.packages, self._files(layer))
            found = [path for folder in folders for place in KERNELS for path in folder.glob(place)]
            if not found:
                raise CannotBuild(f"none of {layer.packages} has a kernel")
            data = found[0].read_bytes()
            with _half(made) as half:
                half.write_bytes(data if found[0].name == "linux.uml" else uncompressed_kernel(data))
                half.chmod(0o755)
        return made

    def initramfs(self, layers: Sequence[Layer]) -> Path:
        archives = [self._archive(layer) for layer in layers]
        made = self._folder / f"initramfs-{digest(path.name for path in archives)}.cpio"
        self._used |= {made, *archives}
        if not made.exists():
            with _half(made) as half:
                half.write_bytes(b"".join(path.read_bytes() for path in archives))
        return made

    def forget_unused(self, layers: Sequence[Layer]) -> None:
        """Delete files that were not used for KEPT_UNUSED_S, but keep the files of these layers."""
        for layer in layers:
            self._packages.keep(self._files(layer))
        for path in (*self._folder.glob("*.cpio"), *self._folder.glob(f"*{HALF}"), *self._folder.glob("*.kernel")):
            if path in self._used:
                path.touch()
            elif time.time() - path.stat().st_mtime > KEPT_UNUSED_S:
                path.unlink()
        self._packages.forget(KEPT_UNUSED_S)

    def _archive(self, layer: Layer) -> Path:
        files = self._files(layer)
        own = [path.read_text() for path in (*sorted(FILES.iterdir()), *(HERE / name for name in BUILDER))]
        made = self._folder / f"{layer.name}-{digest([*files, repr(layer), *own])}.cpio"
        if not made.exists():
            folders = self._packages.unpack(layer.packages, files)
            with _half(made) as half, half.open("wb") as file:
                archive = Archive(file)
                _Contents(layer, folders).write(archive)
                archive.close()
        return made


class _Contents:
    """The files that a layer takes from unpacked packages."""

    def __init__(self, layer: Layer, folders: Sequence[Path]) -> None:
        self._layer = layer
        self._folders = folders

    def write(self, archive: Archive) -> None:
        if self._layer is PROGRAMS:
            _write_skeleton(archive)
        self._write_programs(archive)
        self._write_modules(archive)
        for name in self._layer.settings:
            archive.add_path(f"etc/{name}", self._find(f"etc/{name}"))
        for name in self._layer.files:
            archive.add_path(name, self._find(name))

    def _find(self, *places: str) -> Path:
        for place in places:
            for folder in self._folders:
                if (folder / place).is_file():
                    return folder / place
        raise CannotBuild(f"none of {self._layer.packages} has {places[0]}")

    def _write_programs(self, archive: Archive) -> None:
        paths = [self._find(*(f"{folder}/{name}" for folder in PROGRAM_FOLDERS)) for name in self._layer.programs]
        for path in paths:
            archive.add_path(f"bin/{path.name}", path)
        paths += map(self._find, self._layer.files)
        libraries = {path.name: path for folder in self._folders for path in folder.rglob("*.so*") if path.is_file()}
        waiting, seen = [*paths], set[str]()
        while waiting:
            for name in elf.needed_libraries(waiting.pop()):
                if name not in seen:
                    if name not in libraries:
                        raise CannotBuild(f"none of {self._layer.packages} has {name}")
                    seen.add(name)
                    waiting.append(libraries[name])
                    archive.add_path(f"{'lib64' if name == LOADER else LIBRARY_FOLDER}/{name}", libraries[name])

    def _write_modules(self, archive: Archive) -> None:
        if not self._layer.modules:
            return
        there = {elf.module_name(path.name): path for folder in self._folders for path in folder.rglob("*.ko")}
        if not there and any(list(folder.rglob("*.ko.*")) for folder in self._folders):
            raise CannotBuild(f"the modules of {self._layer.packages} are compressed")
        early = [name for name in self._layer.modules if name not in LATE_MODULES]
        for name in _in_order(self._layer.modules, there):
            archive.add_path(f"lib/modules/{name}.ko", there[name])
        archive.add_file("lib/modules/early", "\n".join(_in_order(early, there)).encode() + b"\n")
        for name in self._layer.modules:
            archive.add_file(f"lib/modules/{name}.order", "\n".join(_in_order([name], there)).encode() + b"\n")


def _in_order(names: Sequence[str], there: dict[str, Path]) -> list[str]:
    """Sort modules so that each comes after the modules on which it depends."""
    ordered: list[str] = []

    def put(name: str) -> None:
        if name in there and name not in ordered:
            for other in elf.needed_modules(there[name]):
                put(other)
            ordered.append(name)

    for name in names:
        put(name)
    return ordered


def _write_skeleton(archive: Archive) -> None:
    for folder in ("dev", "proc", "sys", "run/lock/iscsi", "tmp", "mnt", "share", "etc/iscsi/nodes", "usr", "var"):
        archive.add_folder(folder)
    for link in ("sbin", "usr/bin", "usr/sbin"):
        archive.add_link(link, "/bin")
    archive.add_link("bin/sh", "dash")
    archive.add_link("etc/mtab", "/proc/self/mounts")
    archive.add_console()
    archive.add_file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
    for name, (source, executable) in OWN.items():
        archive.add_file(name, (FILES / source).read_bytes(), executable=executable)


def uncompressed_kernel(image: bytes) -> bytes:
    """Extract the ELF file from an xz-compressed bzImage (x86 boot protocol 2.08). QEMU can start the ELF file directly."""
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if not payload.startswith(XZ_MAGIC):
        raise CannotBuild("the kernel is not compressed with xz")
    return lzma.LZMADecompressor().decompress(payload)


@contextmanager
def _half(path: Path) -> Iterator[Path]:
    """Yield a temporary path. It is renamed to `path` when it is complete, and deleted after an exception."""
    half = path.with_name(f"{path.name}{HALF}")
    try:
        yield half
        half.rename(path)
    finally:
        half.unlink(missing_ok=True)


def main() -> None:
    kinds = sys.argv[1:] or list(KINDS)
    if strangers := [kind for kind in kinds if kind not in KINDS]:
        sys.stderr.write(f"{', '.join(strangers)} is not {' or '.join(KINDS)}\n")
        raise SystemExit(2)
    for kind in kinds:
        started_s = time.monotonic()
        try:
            image = build(kind)
        except CannotBuild as error:
            raise SystemExit(f"{kind}: {error}") from None
        size_mb = image.initramfs.stat().st_size // 1_000_000
        sys.stdout.write(f"{image.kernel}\n{image.initramfs} ({size_mb} MB, {time.monotonic() - started_s:.1f} s)\n")


if __name__ == "__main__":
    main()
