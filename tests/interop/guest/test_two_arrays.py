"""A Linux guest copies by ddptctl from a disk of one array to a disk of another one, which is paired with the first."""

from pathlib import Path

import pytest

from odx_target.target.control.client import request
from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot
from tests.interop.guest.ddptctl import ranges
from tests.interop.guest.test_failover import IQN_OF_OTHER
from tests.interop.links import LINK, wait_for_link

pytestmark = pytest.mark.interop

MIB_BLOCKS = (1 << 20) // 512

TWO = """
login; device=$(generic 0); disk=$(disk 0)
target=$target_of_other; portal=$portal_of_other
login; other_device=$(generic 1); other=$(disk 1)
"""
"""Shell commands that log in to both arrays, and find LUN 0 of the first and LUN 1 of the second. There is only one LUN 1."""


def test_a_file_is_moved_by_token_to_another_array(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    one_pool, other_pool = tmp_path / "one", tmp_path / "other"
    one = start(("vm=32M",), pool="one", options=LINK)
    paired = (*LINK, "--pair", str(one_pool), "--iqn", IQN_OF_OTHER)
    other = start(("own=1M", "moved=32M"), pool="other", options=paired)
    wait_for_link(other_pool)
    guest = boot_guest(one)
    whole = ranges((0, 32 * MIB_BLOCKS))
    guest.run(
        f"""{TWO}
        module ext4; mkfs.ext4 -q -F $disk; mkdir -p /mnt/one /mnt/other; mount -t ext4 $disk /mnt/one
        dd if=/dev/urandom of=/mnt/one/file bs=1M count=8 conv=fsync 2>/dev/null
        md5sum </mnt/one/file >/tmp/sum; umount /mnt/one
        ddptctl --pt={whole} --rtf=/tmp/token $device
        [ $(stat -c %s /tmp/token) = 512 ]
        fill $disk 0 2048
        ddptctl --wut={whole} --rtf=/tmp/token $other_device
        blockdev --flushbufs $other
        e2fsck -f -n $other; mount -t ext4 $other /mnt/other; md5sum </mnt/other/file | cmp - /tmp/sum
        umount /mnt/other; logout""",
        target_of_other=IQN_OF_OTHER,
        portal_of_other=other.portal,
    )
    (row,) = request(other_pool, "paths", {})["paths"]
    assert 8 << 20 < row["received_bytes"] < 32 << 20, "the data came over the link once, without the holes"
