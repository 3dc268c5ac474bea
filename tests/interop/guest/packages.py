"""Downloads and unpacks Debian packages into a cache, without installing them. They are resolved as for an empty machine."""

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
"""Age at which apt's package lists are refreshed."""

FAILURES_REST_S = 600
"""Time for which old lists are used after the archive could not be reached."""

APT_TIMEOUT_S = 300
"""Time limit of one call of apt, long enough for a slow download."""

ROOM_BYTES = 300_000_000
"""Free room required for lists and archives. On a full disk apt may hang."""

HALF = ".half"
"""Suffix of the name of an incomplete folder."""

TAR_STATUSES = (0, 2)
"""Exit statuses of tar that may be accepted: success, or a complaint, which may only be about a pattern."""

HARMLESS = ("Not found in archive", "Exiting with failure status due to previous errors")
"""Messages of tar about a pattern that matches nothing."""

COMPLAINTS_TOLD = 3
"""Number of complaints of tar that are reported. On a full disk tar complains about every file."""

NEVER_TAKEN = ("dpkg_", "libperl", "libpython3", "perl", "python3", "systemd_", "tar_")
"""Beginnings of the names of dependencies of which a guest needs no file."""

KERNEL_PARTS = {
    # package: the only files that are taken, because the package is large
    "user-mode-linux_": ("*",),
    "linux-image-": (
        *("./boot/vmlinuz*", "*/kernel/arch/x86/crypto/*", "*/kernel/crypto/*", "*/kernel/lib/*", "*/kernel/fs/*"),
        *("*/kernel/net/*", "*/kernel/drivers/scsi/*", "*/kernel/drivers/md/*", "*/kernel/drivers/net/*"),
        *("*/kernel/drivers/virtio/*", "*/kernel/drivers/target/*", "*/kernel/block/*"),
    ),
}


class CannotBuild(Exception):
    """No guest image can be made on this machine; the message has the reason."""


class Packages:
    """Calls apt, as any user, with its own lists and an empty status. Raises CannotBuild if apt or a package is missing."""

    def __init__(self, cache: Path) -> None:
        self._folder = cache / "packages"
        self._unpacked = cache / "unpacked"
        for path in ("lists/partial", "archives/partial", "nothing/partial"):
            (self._folder / path).mkdir(parents=True, exist_ok=True)
        self._unpacked.mkdir(exist_ok=True)

    def refresh(self) -> None:
        """Refresh the package lists if they are old. If the archive cannot be reached, the old lists are used."""
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
        """List the file names, with versions, of packages and all their dependencies.

        The answer is remembered until the lists are refreshed, because apt takes seconds to read them.
        """
        remembered, lists = self._folder / f"resolved-{digest(names)}", self._last_refresh()
        if remembered.exists():
            noted, *files = remembered.read_text().splitlines()
            if noted == lists:
                return files
        # apt would not list files that are downloaded already.
        printed = self._apt("-o", f"Dir::Cache::archives={self._folder / 'nothing'}", "--print-uris", "install", *names)
        files = [line.split()[1] for line in printed.splitlines() if line.startswith("'")]
        half = remembered.with_name(f"{remembered.name}{HALF}")
        half.write_text("\n".join([lists, *files]))
        half.rename(remembered)
        return files

    def _last_refresh(self) -> str:
        """The time of the last refresh, as a text that is compared only with others."""
        refreshed = self._folder / "refreshed"
        return str(refreshed.stat().st_mtime_ns) if refreshed.exists() else "never"

    def keep(self, files: Iterable[str]) -> None:
        """Mark these files as used now."""
        for file in files:
            for path in (self._archive(file), self._folder_of(file)):
                if path.exists():
                    path.touch()

    def forget(self, unused_s: float) -> None:
        """Delete files that were not used for `unused_s`."""
        for path in (*self._unpacked.glob("*"), *(self._folder / "archives").rglob("*.deb")):
            if _age_s(path) > unused_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def unpack(self, names: Sequence[str], files: Iterable[str]) -> list[Path]:
        """Download the files that `resolve` listed, and return a folder for each package of which files are taken."""
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
        shutil.rmtree(half, ignore_errors=True)  # It remains if a build was killed.
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
    """Extract all files that match the patterns from a Debian package. After CannotBuild the folder is incomplete."""
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
        reading.stdout.close()  # Otherwise dpkg-deb would wait for a tar that has ended.
        said = reading.stderr.read().decode(errors="replace")
    complaints = [line for line in ended.stderr.splitlines() if not line.endswith(HARMLESS)]
    if reading.returncode or complaints or ended.returncode not in TAR_STATUSES:
        raise CannotBuild(f"{archive.name} cannot be unpacked: {_one_line(' '.join([*complaints[:COMPLAINTS_TOLD], said]))}")


def _one_line(said: str) -> str:
    return " ".join(said.split())


def _age_s(path: Path) -> float:
    """Seconds since a file was written or touched here; a missing file is infinitely old.

    The modification times of archives and folders come from the packages, so the time of the status change counts too.
    """
    if not path.exists():
        return math.inf
    found = path.stat()
    return time.time() - max(found.st_mtime, found.st_ctime)


def digest(words: Iterable[str]) -> str:
    """Make a short digest of a sequence of words."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
