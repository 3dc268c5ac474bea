"""Tests that a LUN can grow while a mounted file system on it is written."""

import signal
from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot

pytestmark = pytest.mark.interop

BLOCK_BYTES = [512, 4096]

GROW_TIMEOUT_S = 300
"""Time limit for the growth, many times longer than on an idle machine."""

WRITE_ON_AND_GROW = """
login
disk=$(disk 0); module ext4; mkdir -p /mnt/growing
mkfs.ext4 -q -F $disk
mount -t ext4 $disk /mnt/growing
write() {
    for number in $(seq $1 $2); do
        dd if=/dev/urandom of=/mnt/growing/$number bs=64k count=$((number % 8 + 1)) conv=fsync 2>/dev/null
    done
}
write 1 10
write 11 40 & writer=$!
echo "size $(blockdev --getsize64 $disk)"
grown() {
    # the kernel asks again when it is told to, as an administrator would after a LUN was made larger
    iscsiadm -m session -R >/dev/null
    [ $(blockdev --getsize64 $disk) = $wanted ]
}
within 20 grown
echo "size $(blockdev --getsize64 $disk)"
resize2fs $disk
wait $writer
write 41 50
dd if=/dev/urandom of=/tmp/one bs=1M count=1 2>/dev/null
for turn in $(seq 80); do cat /tmp/one; done >/mnt/growing/large; sync
(cd /mnt/growing && md5sum *[0-9] large) >/tmp/sums
umount /mnt/growing
e2fsck -f -n $disk
logout; login
disk=$(disk 0)
mount -t ext4 $disk /mnt/growing
(cd /mnt/growing && md5sum --quiet -c /tmp/sums)
umount /mnt/growing
dmesg | grep -i 'capacity change\\|Capacity data has changed'
"""


def settings(path: Path, size: str, block_bytes: int) -> None:
    path.write_text(f'[[lun]]\nname = "disk"\nsize = "{size}"\nblock = {block_bytes}\n')


@pytest.mark.parametrize("block_bytes", BLOCK_BYTES)
def test_a_lun_grows_under_a_mounted_file_system(boot_guest: Boot, start: Start, tmp_path: Path, block_bytes: int) -> None:
    path = tmp_path / "array.toml"
    settings(path, "64M", block_bytes)
    served = start(options=("--config", str(path)))
    guest = boot_guest(served)
    writing = guest.start(WRITE_ON_AND_GROW, wanted=160 << 20)
    writing.wait_for("size 67108864\n")
    settings(path, "160M", block_bytes)
    served.process.send_signal(signal.SIGHUP)
    ended = writing.wait(GROW_TIMEOUT_S)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert f"size {160 << 20}\n" in ended.output
    assert served.stop() == 0
    assert "LUN has grown" in served.log
