"""Properties of the file system that contains the files of the segments."""

import os
from pathlib import Path

PROBE_NAME = ".probe"
"""Name of a file that exists only for a moment. A crash may leave it in a directory of segments."""

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def is_in_memory(directory: Path) -> bool:
    return _file_system(directory) in _IN_MEMORY


def _file_system(directory: Path) -> str:
    """Return the type of the file system of a directory, such as `ext4`. It is read from /proc/self/mountinfo.

    Returns "" if the type is unknown.
    """
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        if fields[2] == wanted and "-" in fields:
            return fields[fields.index("-") + 1]
    return ""


def knows_nowait(directory: Path) -> bool:
    """True if reads with RWF_NOWAIT work in the file system of a directory. Such a read returns only data that is in the page
    cache.
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    probe = directory / PROBE_NAME
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, b"probe", 0)
        os.preadv(descriptor, (bytearray(1),), 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
        probe.unlink()
    return True
