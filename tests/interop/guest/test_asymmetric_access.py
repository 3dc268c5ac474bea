"""dm-multipath follows changes of target port groups under load without an I/O error. Programs of sg3-utils show and change the
groups.
"""

import re
import socket
from pathlib import Path

import pytest

from odx_target.target.control.client import request
from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot, Guest
from tests.interop.guest.machine import Job
from tests.interop.serving import Served

pytestmark = pytest.mark.interop

CONFIG = """
asymmetric-access = "{modes}"
transition-time = {transition_s}

[[portal-group]]
tag = 2
portal = "{second}"
port-group = 2

[[target-port-group]]
number = 1
preferred = true

[[target-port-group]]
number = 2
state = "standby"
"""

PATHS = """
module dm_multipath; module dm_service_time; module scsi_dh_alua
discover >/dev/null
iscsiadm -m node -T $target --login >/dev/null
paths() { [ "$(disks 0 | wc -l)" = 2 ]; }
within 20 paths
# group NUMBER: print the disk of the path through a target port group
group() {
    for _path in $(disks 0); do
        if sg_vpd -p di "$_path" | grep -q "Target port group: 0x$1"; then echo "$_path"; fi
    done
}
"""

MULTIPATH = """
one=$(group 1); two=$(group 2)
dmsetup create --noudevsync paths --table "0 $(blockdev --getsz $one) multipath 1 queue_if_no_path 1 alua \\
    2 1 service-time 0 1 1 $one 1 service-time 0 1 1 $two 1"
disk=$(ls /dev/mapper/paths 2>/dev/null || echo /dev/dm-0)
echo "$one $two" >/tmp/paths
"""

LOAD = """
echo "load begins"
fio --name=verified --filename=$disk --size=16M --rw=randwrite --bsrange=4k-64k --bs_unaligned=0 --blockalign=4k \\
    --ioengine=libaio --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --time_based \\
    --runtime=$seconds --rate_iops=200 --randseed=7 --output=/tmp/fio || { tail -20 /tmp/fio; dmesg | tail -30; exit 1; }
cat /tmp/fio
dmsetup status paths
dmsetup remove paths
"""

REINSTATE = """
read -r one two </tmp/paths
dmsetup message paths 0 reinstate_path $one
dmsetup message paths 0 reinstate_path $two
dmsetup message paths 0 switch_group $group
"""
"""Steps that multipathd takes when the check of a path succeeds again."""


def serve_groups(start: Start, tmp_path: Path, modes: str = "both", transition_s: int = 0) -> Served:
    with socket.create_server(("127.0.0.1", 0)) as free:
        second = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "array.toml"
    config.write_text(CONFIG.format(modes=modes, transition_s=transition_s, second=second))
    return start(("first=64M", "second=64M"), options=("--portal", second, "--config", str(config)))


def set_state(tmp_path: Path, number: int, state: str, **others: object) -> None:
    request(tmp_path / "pool", "set-port-group", {"number": number, "state": state, **others})


def test_the_programs_of_sg3_utils(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    guest: Guest = boot_guest(serve_groups(start, tmp_path))
    printed = guest.run(
        PATHS
        + """
        one=$(group 1); two=$(group 2)
        sg_inq $one | grep TPGS
        sg_rtpg -v $one
        sg_rtpg -d -e $two
        expect 0 sg_turs $one
        expect 2 sg_turs $two
        sg_stpg --tp=2 --state=o $two 2>&1 | grep "Illegal request"
        sg_stpg --tp=2 --state=ao $two
        expect 6 sg_turs $one
        sg_rtpg -d $one
        sg_turs $one
        sg_turs $two
        sg_stpg --tp=2,1 --state=u,an $two
        expect 6 sg_turs $one
        sg_rtpg -d $one
        expect 2 sg_turs $two
        sg_inq $two >/dev/null
        """
    )
    assert "TPGS=3" in printed
    states = re.findall(r"asymmetric access state : (0x\d+)", printed)
    assert states == ["0x00", "0x02", "0x00", "0x02", "0x00", "0x00", "0x01", "0x03"]
    assert "status code : 0x01" in printed


def test_multipath_follows_the_operator_under_load(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    served = serve_groups(start, tmp_path, "implicit")
    guest = boot_guest(served, extras=("fio",))
    loading = guest.start(PATHS + MULTIPATH + LOAD, seconds=16)
    loading.wait_for("load begins\n", 60)
    for active, other in ((2, 1), (1, 2), (2, 1)):
        guest.run("sleep 3")
        set_state(tmp_path, active, "active-optimized")
        set_state(tmp_path, other, "standby")
        guest.run("sleep 1" + REINSTATE, group=active)
    check(guest, loading)


def check(guest: Guest, loading: Job) -> None:
    """Wait for the end of the load, which must have verified all data without an error."""
    ended = loading.wait(120)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "err= 0" in ended.output


FAIL_OVER = """
head -c 4096 /dev/urandom >/tmp/block
# Write one block after the other, until there is a file /tmp/stop. Each error ends the load.
load() {
    _count=0
    while [ ! -e /tmp/stop ]; do
        dd if=/tmp/block of=$disk bs=4k count=1 seek=$((_count % 4096)) oflag=direct conv=notrunc 2>/tmp/error || return 1
        _count=$((_count + 1))
    done
    echo $_count >/tmp/count
}
# has_state DISK STATE: true if the handler of the kernel knows this state of the path
has_state() { [ "$(cat /sys/block/${1#/dev/}/device/access_state)" = "$2" ]; }
activated() { within 10 has_state $1 active/optimized && sg_rtpg -d $1 >/dev/null; }

has_state $one active/optimized
has_state $two standby
load &
echo "the administrator chooses the standby group"
dmsetup message paths 0 switch_group 2
activated $two
echo "the active group becomes a standby group"
sg_stpg --tp=1,2 --state=s,s $two
activated $one
dmsetup message paths 0 reinstate_path $two
echo "and again"
sg_stpg --tp=2,1 --state=s,s $one
activated $two
: >/tmp/stop
wait $! || { cat /tmp/error; exit 1; }
echo "$(cat /tmp/count) blocks"
dd if=$disk bs=4k count=$(cat /tmp/count) iflag=direct 2>/dev/null | head -c 4096 | alike /tmp/block
dmsetup remove paths
"""


@pytest.mark.debian_kernel
def test_the_handler_of_the_kernel_fails_over(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    """The kernel itself activates the group of the next path by SET TARGET PORT GROUPS, as the script makes no group active."""
    guest = boot_guest(serve_groups(start, tmp_path, "explicit"))
    guest.run(PATHS + MULTIPATH + FAIL_OVER, timeout_s=60)
    groups = request(tmp_path / "pool", "port-groups", {})["port_groups"]
    states = {group["number"]: [(lun["name"], lun["state"], lun["status"]) for lun in group["luns"]] for group in groups}
    assert states == {1: [("first", "standby", "explicit")], 2: [("first", "active-optimized", "explicit")]}
