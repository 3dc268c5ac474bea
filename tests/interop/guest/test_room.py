"""Linux gives back the room of deleted files: the array then needs less room on the disk of its own machine."""

import time
from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot

pytestmark = pytest.mark.interop

SCRIPT_TIMEOUT_S = 300
CLEANING_TIMEOUT_S = 60
POLL_S = 0.2

MIB = 1 << 20
FILE_MIB = 896
"""Size of the deleted file. The array keeps up to eight freed segments of 64 MiB each, so the file is larger than 512 MiB."""

FILL = f"""
login; disk=$(disk 0); module ext4; mkdir -p /mnt/room
mkfs.ext4 -q -F $disk
mount -t ext4 $disk /mnt/room
dd if=/dev/urandom of=/mnt/room/keep bs=1M count=8 conv=fsync 2>/dev/null
dd if=/dev/urandom of=/mnt/room/lose bs=1M count={FILE_MIB} conv=fsync 2>/dev/null
md5sum /mnt/room/keep >/tmp/sum
"""

TRIM = """
rm /mnt/room/lose; sync
fstrim -v /mnt/room
"""

VERIFY = """
echo 3 >/proc/sys/vm/drop_caches
md5sum -c /tmp/sum
umount /mnt/room
e2fsck -f -n $(disk 0)
"""


def test_fstrim_gives_the_disk_of_the_array_its_room_back(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    guest = boot_guest(start(("disk=2G",)))
    for script in (FILL, TRIM, VERIFY):
        ended = guest.start(script).wait(SCRIPT_TIMEOUT_S)
        assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
        if script is FILL:
            full = used_bytes(tmp_path / "pool")
            assert full >= FILE_MIB * MIB
        elif script is TRIM:
            assert used_bytes_at_most(tmp_path / "pool", full - 256 * MIB) < full - 256 * MIB


def used_bytes(folder: Path) -> int:
    """Return the bytes that the files in a folder take on the disk, as `du` counts them. A file may be deleted meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def used_bytes_at_most(folder: Path, wanted: int) -> int:
    """Wait until a folder takes less than `wanted` bytes on the disk, or until the time is over. Returns the bytes."""
    deadline_s = time.monotonic() + CLEANING_TIMEOUT_S
    while (used := used_bytes(folder)) >= wanted and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    return used
