"""Debian packages without installing them: resolved against an empty machine, downloaded, unpacked into a cache."""

import hashlib
import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LISTS_ARE_FRESH_S = 86_400
"""How long apt's package lists are used before they are asked for again."""

FAILURES_REST_S = 600
"""How long old lists are used without another try, after the archive could not be reached."""

APT_TIMEOUT_S = 300
"""For the slowest download that is still worth waiting for."""

ROOM_BYTES = 300_000_000
"""What lists and archives take, and some: on a full disk apt may hang until it is ended."""

HALF = ".half"
"""How the name of what is not whole yet ends."""

TAR_STATUSES = (0, 2)
"""All went well; or tar has something to say, be it only of a pattern."""

HARMLESS = ("Not found in archive", "Exiting with failure status due to previous errors")
"""What tar says of a pattern that matches nothing."""

COMPLAINTS_TOLD = 3
"""On a full disk there is one for every file."""

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
        self._unpacked.mkdir(exist_ok=True)

    def refresh(self) -> None:
        """Ask for the package lists, if ours are old. Old lists will do when the archive cannot be reached."""
        refreshed, failed = self._folder / "refreshed", self._folder / "failed"
        if _age_s(refreshed) < LISTS_ARE_FRESH_S or (refreshed.exists() and _age_s(failed) < FAILURES_REST_S):
            return
        try:
            self._need_room()
            self._apt("update", "-o", "APT::Update::Error-Mode=any")
        except CannotBuild:
            failed.touch()
            if not refreshed.exists():
                raise
        else:
            refreshed.touch()

    def resolve(self, names: Sequence[str]) -> list[str]:
        """File names, with versions, of these packages and all they depend on."""
        # what is downloaded already would not be named
        printed = self._apt("-o", f"Dir::Cache::archives={self._folder / 'nothing'}", "--print-uris", "install", *names)
        return [line.split()[1] for line in printed.splitlines() if line.startswith("'")]

    def keep(self, files: Iterable[str]) -> None:
        """Note that these files are in use."""
        for file in files:
            for path in (self._archive(file), self._folder_of(file)):
                if path.exists():
                    path.touch()

    def forget(self, unused_s: float) -> None:
        """Delete what nobody has asked for in this time."""
        for path in (*self._unpacked.glob("*"), *(self._folder / "archives").rglob("*.deb")):
            if _age_s(path) > unused_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def unpack(self, names: Sequence[str], files: Iterable[str]) -> list[Path]:
        """Download what `resolve` named and return a folder for each, without those of which nothing is taken."""
        taken = [file for file in files if not file.startswith(NEVER_TAKEN)]
        folders = [self._folder_of(file) for file in taken]
        if not all(folder.exists() for folder in folders):
            self._need_room()
            self._apt("--download-only", "--yes", "install", *names)
            with ThreadPoolExecutor(os.cpu_count()) as workers:
                list(workers.map(self._unpack_one, taken, folders))
        return folders

    def _need_room(self) -> None:
        if shutil.disk_usage(self._folder).free < ROOM_BYTES:
            raise CannotBuild(f"{self._folder} has less than {ROOM_BYTES // 1_000_000} MB of room")

    def _archive(self, file: str) -> Path:
        return self._folder / "archives" / file

    def _folder_of(self, file: str) -> Path:
        return self._unpacked / file.removesuffix(".deb")

    def _unpack_one(self, file: str, folder: Path) -> None:
        if folder.exists():
            return
        half = folder.with_name(f"{folder.name}{HALF}")
        shutil.rmtree(half, ignore_errors=True)  # of a build that was killed
        half.mkdir(parents=True)
        parts = next((parts for start, parts in KERNEL_PARTS.items() if file.startswith(start)), ("./*",))
        try:
            extract(self._archive(file), half, parts)
        except CannotBuild:
            shutil.rmtree(half)
            raise
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
            raise CannotBuild(f"apt-get {' '.join(arguments)}: {_one_line(ended.stderr)}")
        return ended.stdout


def extract(archive: Path, folder: Path, patterns: Sequence[str]) -> None:
    """Take the files that match out of a Debian package, all of them. Raises CannotBuild; then what is there is not whole."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
        ended = subprocess.run(
            ["tar", "--extract", "--directory", folder, "--no-same-owner", "--wildcards", *patterns],
            stdin=reading.stdout,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=APT_TIMEOUT_S,
            check=False,
        )
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.close()  # or it would wait for a tar that has given up
        said = reading.stderr.read().decode(errors="replace")
    complaints = [line for line in ended.stderr.splitlines() if not line.endswith(HARMLESS)]
    if reading.returncode or complaints or ended.returncode not in TAR_STATUSES:
        raise CannotBuild(f"{archive.name} cannot be unpacked: {_one_line(' '.join([*complaints[:COMPLAINTS_TOLD], said]))}")


def _one_line(said: str) -> str:
    return " ".join(said.split())


def _age_s(path: Path) -> float:
    """Since it was written or touched here; what is not there is infinitely old.

    Archives and folders carry times of the packages, so a change of their status counts too.
    """
    if not path.exists():
        return math.inf
    found = path.stat()
    return time.time() - max(found.st_mtime, found.st_ctime)


def digest(words: Iterable[str]) -> str:
    """A short name for exactly these words in this order."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
