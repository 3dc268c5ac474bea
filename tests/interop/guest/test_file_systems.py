"""Tests that flushed data in file systems on the LUNs survives another login."""

import pytest

from tests.interop.guest.conftest import Guest

pytestmark = pytest.mark.interop

LUNS = [0, 2]
"""One LUN with blocks of 512 bytes, and one with blocks of 4096 bytes."""

WRITE_AND_LOOK_AGAIN = """
login
disk=$(disk $lun)
mkdir -p /mnt/file_system
make $disk
mount_it $disk
for number in 1 2 3 4 5; do
    dd if=/dev/urandom of=/mnt/file_system/$number bs=64k count=$((number * 16)) conv=fsync 2>/dev/null
done
(cd /mnt/file_system && md5sum [1-5]) >/tmp/sums
umount /mnt/file_system
logout
[ ! -b $disk ]
login
disk=$(disk $lun)
mount_it $disk
(cd /mnt/file_system && md5sum -c /tmp/sums)
umount /mnt/file_system
check $disk
logout
"""

EXT4 = """
module ext4
make() { mkfs.ext4 -q -F $1; }
mount_it() { mount -t ext4 $1 /mnt/file_system; }
check() { e2fsck -f -n $1; }
"""

XFS = """
module xfs
make() { mkfs.xfs -q -f $1; }
mount_it() { mount -t xfs $1 /mnt/file_system; }
check() { xfs_repair -n $1; }
"""

NTFS = """
module fuse
mknod /dev/fuse c 10 229 2>/dev/null || true
make() { mkfs.ntfs -q -F -f $1; }
mount_it() { ntfs-3g $1 /mnt/file_system; }
check() { ntfsfix -n $1; }
"""


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_ext4(guest: Guest, lun: int) -> None:
    guest.run(EXT4 + WRITE_AND_LOOK_AGAIN, lun=lun)


@pytest.mark.parametrize("lun", [0, 1])
@pytest.mark.luns("first=320M", "second=320M,block=4096")
def test_xfs(guest: Guest, lun: int) -> None:
    guest.run(XFS + WRITE_AND_LOOK_AGAIN, lun=lun)


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_ntfs_3g(guest: Guest, lun: int) -> None:
    guest.run(NTFS + WRITE_AND_LOOK_AGAIN, lun=lun)
