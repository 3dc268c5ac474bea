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
# Without udev, its database contains the disks as they would be after their events.
mkdir -p /run/udev/data /etc/multipath
for path in $(disks 0); do
    name=${path#/dev/}
    wwid=$(sed s/naa.// /sys/block/$name/device/wwid)
    printf 'I:1\\nE:ID_SERIAL=3%s\\nE:DEVTYPE=disk\\n' "$wwid" >"/run/udev/data/b$(cat /sys/block/$name/dev)"
done
cat >/etc/multipath.conf <<END
defaults {
    polling_interval 1
    max_polling_interval 1
    find_multipaths no
    path_grouping_policy group_by_prio
    path_checker tur
    prio alua
    hardware_handler "1 alua"
    failback immediate
    no_path_retry queue
}
END
export DM_DISABLE_UDEV=1
multipathd -d >/tmp/multipathd 2>&1 &
daemon=$!
map() { dmsetup ls --target multipath | grep -q '('; }
within 30 map || { cat /tmp/multipathd; exit 1; }
disk=/dev/$(dmsetup ls --target multipath -o blkdevname | sed 's/.*(\\(.*\\))/\\1/')
dmsetup table
"""

LOAD = """
echo "load begins"
fio --name=verified --filename=$disk --size=24M --rw=randwrite --bsrange=4k-64k --bs_unaligned=0 --blockalign=4k \\
    --ioengine=libaio --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --time_based \\
    --runtime=$seconds --rate_iops=400 --randseed=7 --output=/tmp/fio || { tail -20 /tmp/fio; dmesg | tail -30; exit 1; }
cat /tmp/fio
dmsetup status
multipath -ll || true
kill $daemon
within 10 dmsetup remove_all --retry
"""


def serve_groups(start: Start, tmp_path: Path, modes: str = "both", transition_s: int = 0) -> Served:
    with socket.create_server(("127.0.0.1", 0)) as free:
        second = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "array.toml"
    config.write_text(CONFIG.format(modes=modes, transition_s=transition_s, second=second))
    return start(("first=64M", "second=64M"), options=("--portal", second, "--config", str(config)))


def set_state(tmp_path: Path, number: int, state: str, **others: object) -> None:
    request(tmp_path / "pool", "set-port-group", {"number": number, "state": state, **others})


def state_of(tmp_path: Path, number: int) -> str:
    groups = request(tmp_path / "pool", "port-groups", {})["port_groups"]
    (group,) = [each for each in groups if each["number"] == number]
    return group["luns"][0]["state"] if group["luns"] else group["state"]  # type: ignore[no-any-return]


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
        expect 5 sg_stpg --tp=2 --state=o $two
        sg_stpg --tp=2 --state=ao $two
        sg_rtpg -d $one
        sg_turs $one || true
        sg_turs $one
        sg_turs $two
        sg_stpg --tp=2,1 --state=u,an $two
        sg_rtpg -d $one
        expect 2 sg_turs $two
        sg_inq $two >/dev/null
        """
    )
    assert "TPGS=3" in printed
    states = re.findall(r"asymmetric access state : (0x\d+)", printed)
    assert states == ["0x0", "0x2", "0x0", "0x2", "0x0", "0x0", "0x1", "0x3"]
    assert "target port asymmetric access state altered by SET TARGET PORT GROUPS" in printed or "Status code: 0x1" in printed


@pytest.mark.parametrize("transition_s", [0, 3])
def test_multipath_follows_the_operator_under_load(boot_guest: Boot, start: Start, tmp_path: Path, transition_s: int) -> None:
    served = serve_groups(start, tmp_path, "implicit", transition_s)
    guest = boot_guest(served, with_fio=True)
    loading = guest.start(PATHS + MULTIPATH + LOAD, seconds=40)
    loading.wait_for("load begins\n")
    for first, second in [("standby", "active-optimized"), ("active-optimized", "unavailable")] * 2:
        guest.run("sleep 8")
        new = {1: first, 2: second}
        for number in sorted(new, key=lambda number: new[number] != "active-optimized"):
            set_state(tmp_path, number, new[number])
    ended = loading.wait(120)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "err= 0" in ended.output
    assert "1 alua" in ended.output, "the kernel uses its device handler"


def test_multipath_changes_the_states_itself(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    """If all active paths fail, the device handler of the kernel activates the standby group by SET TARGET PORT GROUPS."""
    served = serve_groups(start, tmp_path, "both")
    guest = boot_guest(served, with_fio=True)
    loading = guest.start(PATHS + MULTIPATH + LOAD, seconds=24)
    loading.wait_for("load begins\n")
    guest.run("sleep 5")
    set_state(tmp_path, 1, "standby", lun="first")
    guest.run("sleep 8")
    assert state_of(tmp_path, 2) == "active-optimized", guest.run("cat /tmp/multipathd")
    ended = loading.wait(120)
    assert ended.status == 0, f"{ended.output}\n{guest.machine.console}"
    assert "err= 0" in ended.output
