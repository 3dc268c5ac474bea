"""Debian packages without installing them: resolved against an empty machine, downloaded, unpacked into a cache."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LISTS_ARE_FRESH_S = 86_400
"""How long apt's package lists are used before they are asked for again."""

APT_TIMEOUT_S = 300
"""For the slowest download that is still worth waiting for."""

NEVER_TAKEN = ("dpkg_", "libperl", "libpython3", "perl", "python3", "systemd_", "tar_", "udev_")
"""Beginnings of packages that others depend on, but none of whose files a guest takes."""

KERNEL_PARTS = {
    # package: what is taken out, as it is far too much otherwise
    "user-mode-linux_": ("*",),
    "linux-image-": (
        *("./boot/vmlinuz*", "*/kernel/arch/x86/crypto/*", "*/kernel/crypto/*", "*/kernel/lib/*", "*/kernel/fs/*"),
        *("*/kernel/net/*", "*/kernel/drivers/scsi/*", "*/kernel/drivers/md/*", "*/kernel/drivers/net/*"),
        *("*/kernel/drivers/virtio/*", "*/kernel/drivers/target/*", "*/kernel/block/*"),
    ),
}


class CannotBuild(Exception):
    """Why no guest can be made here."""


class Packages:
    """Asks apt, as any user, with its own lists and an empty status. Raises CannotBuild where apt or a package is missing."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "packages"
        self._unpacked = cache / "unpacked"
        for path in ("lists/partial", "archives/partial", "nothing/partial"):
            (self._folder / path).mkdir(parents=True, exist_ok=True)

    def refresh(self) -> None:
        """Ask for the package lists, if ours are old. Old lists will do when the archive cannot be reached."""
        stamp = self._folder / "refreshed"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_ARE_FRESH_S:
            return
        try:
            self._apt("update", "-o", "APT::Update::Error-Mode=any")
        except CannotBuild:
            if not stamp.exists():
                raise
        else:
            stamp.touch()

    def resolve(self, names: Sequence[str]) -> list[str]:
        """File names, with versions, of these packages and all they depend on."""
        # what is downloaded already would not be named
        printed = self._apt("-o", f"Dir::Cache::archives={self._folder / 'nothing'}", "--print-uris", "install", *names)
        return [line.split()[1] for line in printed.splitlines() if line.startswith("'")]

    def unpack(self, names: Sequence[str], files: Iterable[str]) -> list[Path]:
        """Download what `resolve` named and return a folder for each, without those of which nothing is taken."""
        taken = [file for file in files if not file.startswith(NEVER_TAKEN)]
        folders = [self._unpacked / file.removesuffix(".deb") for file in taken]
        if not all(folder.exists() for folder in folders):
            self._apt("--download-only", "--yes", "install", *names)
            with ThreadPoolExecutor(os.cpu_count()) as workers:
                list(workers.map(self._unpack_one, taken, folders))
        return folders

    def _unpack_one(self, file: str, folder: Path) -> None:
        if folder.exists():
            return
        half = folder.with_name(f"{folder.name}.{os.getpid()}")
        half.mkdir(parents=True)
        archive = self._folder / "archives" / file
        parts = next((parts for start, parts in KERNEL_PARTS.items() if file.startswith(start)), ("./*",))
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as reading:
            subprocess.run(
                ["tar", "--extract", "--directory", half, "--no-same-owner", "--wildcards", *parts],
                stdin=reading.stdout,
                stderr=subprocess.DEVNULL,  # tar says so if a pattern matches nothing
                timeout=APT_TIMEOUT_S,
                check=False,
            )
        if reading.returncode:
            shutil.rmtree(half)
            raise CannotBuild(f"{file} cannot be unpacked")
        half.rename(folder)

    def _apt(self, *arguments: str) -> str:
        options = {
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root" if os.getuid() == 0 else "",
            "Debug::NoLocking": "true",
            "Dir::Cache": str(self._folder),
            "Dir::Cache::archives": str(self._folder / "archives"),
            "Dir::State::lists": str(self._folder / "lists"),
            "Dir::State::status": "/dev/null",
            "Dir::Log": str(self._folder),
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        try:
            ended = subprocess.run(
                ["apt-get", "--quiet=2", *words, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=APT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotBuild(f"apt-get: {error}") from None
        if ended.returncode:
            raise CannotBuild(f"apt-get {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout


def digest(words: Iterable[str]) -> str:
    """A short name for exactly these words in this order."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
