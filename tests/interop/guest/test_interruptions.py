"""Tests that flushed data survives and I/O goes on if the server ends under a mounted file system, or a path is cut."""

import re

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot, Guest
from tests.interop.guest.relay import Relay

pytestmark = pytest.mark.interop

RECOVERY_TIMEOUT_S = 300
"""Time limit for the host to log in again after a restart. It needs some seconds, and more on a busy machine without KVM."""

WRITE_MANY_FILES = """
login
disk=$(disk 0); module ext4; mkdir -p /mnt/busy
mkfs.ext4 -q -F $disk
mount -t ext4 $disk /mnt/busy
for number in $(seq 60); do
    dd if=/dev/urandom of=/tmp/one bs=8k count=$((number % 16 + 1)) 2>/dev/null
    dd if=/tmp/one of=/mnt/busy/$number bs=8k conv=fsync 2>/dev/null
    echo "$(md5sum </tmp/one | cut -c1-32)  /mnt/busy/$number" >>/tmp/sums
    echo "synced $number"
done
umount /mnt/busy
e2fsck -f -n $disk
mount -t ext4 $disk /mnt/busy
md5sum --quiet -c /tmp/sums
echo "files checked: $(wc -l </tmp/sums)"
umount /mnt/busy
"""


@pytest.mark.parametrize("lun", ["disk=96M", "disk=96M,block=4096"])
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_a_server_ends_and_starts_again_under_a_file_system(boot_guest: Boot, start: Start, end: str, lun: str) -> None:
    served = start((lun,))
    guest = boot_guest(served)
    writing = guest.start(WRITE_MANY_FILES)
    for number in (10, 35):
        writing.wait_for(f"synced {number}\n")
        if end == "killed":
            served.kill()
        else:
            served.stop()
        served = start(portal=served.portal)
    ended = writing.wait(RECOVERY_TIMEOUT_S)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "files checked: 60" in ended.output


def test_multipath_survives_a_cut_in_mid_write(boot_guest: Boot, start: Start) -> None:
    served = start(("disk=64M",))
    with Relay(served.portal) as relay:
        guest = boot_guest(served)
        writing = guest.start(
            """
            module dm_multipath; module dm_round_robin
            discover >/dev/null
            key timeo.replacement_timeout 1
            login
            portal=$second_portal
            iscsiadm -m node -T $target -p $portal --op new >/dev/null
            key timeo.replacement_timeout 1
            login
            paths() { [ $(disks 0 | wc -l) = 2 ]; }
            within 10 paths
            set -- $(disks 0)
            size=$(blockdev --getsz $1)
            dmsetup create --noudevsync paths --table "0 $size multipath 0 0 1 1 round-robin 0 2 1 $1 1 $2 1"
            disk=$(ls /dev/mapper/paths 2>/dev/null || echo /dev/dm-0)
            dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null
            for turn in 0 1 2 3 4 5 6 7; do
                dd if=/tmp/data of=$disk bs=64k seek=$((turn * 128)) oflag=direct conv=fsync,notrunc,nocreat 2>/dev/null
                echo "turn $turn"
            done
            dmsetup status paths
            for turn in 0 1 2 3 4 5 6 7; do
                dd if=$disk bs=64k skip=$((turn * 128)) count=128 iflag=direct 2>/dev/null | alike /tmp/data
            done
            """,
            second_portal=relay.portal,
        )
        writing.wait_for("turn 1\n")
        relay.cut()
        ended = writing.wait()
        assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
        status = next(line for line in ended.output.splitlines() if "multipath" in line).split()
        assert status.count("F") == 1
        assert {"A"} <= set(status)


FIO = """
login
disk=$(disk $lun)
fio --name=verified --filename=$disk --size=48M --rw=randwrite --bsrange=4k-256k --bs_unaligned=0 --blockalign=4k \
    --ioengine=libaio --iodepth=16 --direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
    --randseed=7 --output=/tmp/fio || { tail -20 /tmp/fio; exit 1; }
cat /tmp/fio
"""


@pytest.mark.parametrize("lun", [0, 2])
def test_fio_finds_what_it_wrote(boot_guest: Boot, start: Start, lun: int) -> None:
    served = start(("first=64M", "second=64M", "third=64M,block=4096"))
    guest: Guest = boot_guest(served, extras=("fio",))
    printed = guest.run(FIO, lun=lun)
    assert "err= 0" in printed
    for direction in ("READ", "WRITE"):
        total = re.search(rf"{direction}:.* io=([0-9.]+)MiB", printed)
        assert total is not None
        assert float(total[1]) >= 47
