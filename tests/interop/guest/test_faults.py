"""Linux meets a table of injected faults, and the answers of the evil target, which must not crash it or make it hang."""

from pathlib import Path

import pytest

from odx_target.target.control.client import request
from odx_target.target.faults.evil import EVIL
from tests.interop.conftest import Start
from tests.interop.faults.linux_seen import DISCOVERIES, KINDS, SCRIPTS, SESSIONS
from tests.interop.guest.conftest import Boot, Guest
from tests.interop.serving import IQN

pytestmark = pytest.mark.interop

MAX_HOSTILE_S = 30
"""Time limit of each script that meets hostile answers, after which it counts as a hang."""

SHORT_TIMEOUTS = """
settings() { iscsiadm -m node -o update -n "$1" -v "$2"; }
discover >/dev/null
settings node.session.timeo.replacement_timeout 5
settings "node.conn[0].timeo.noop_out_interval" 1
settings "node.conn[0].timeo.noop_out_timeout" 2
settings node.session.err_timeo.abort_timeout 2
settings node.session.iscsi.ImmediateData No
settings node.session.iscsi.InitialR2T Yes
"""
"""Short timeouts, and writes whose data the target requests."""

WITH_DIGESTS = """
settings "node.conn[0].iscsi.HeaderDigest" CRC32C
settings "node.conn[0].iscsi.DataDigest" CRC32C
login
head -c 512 /dev/urandom >/tmp/block
dd if=/tmp/block of=$(disk 0) bs=512 count=1 oflag=direct 2>/dev/null
"""

ACTS = """
reason() { sed -n 's/.*: //;1p' /tmp/error; }
read_block() {
    if ! dd if=$1 of=/tmp/got bs=512 count=1 iflag=direct 2>/tmp/error; then reason
    elif alike /tmp/block </tmp/got >/dev/null; then echo good
    else echo "other data"
    fi
}
write_block() {
    if dd if=/tmp/block of=$1 bs=512 count=1 oflag=direct 2>/tmp/error; then echo good; else reason; fi
}
passthrough() {
    sg_raw -r 512 $generic 28 00 00 00 00 00 00 00 01 00 >/dev/null 2>/tmp/error || true
    sed -n 's/.*Sense key: //p; s/^ *Additional sense: //p; s/^SCSI Status: //p' /tmp/error | sed 's/ *$//'
}
lost() { dmesg | grep -c 'detected conn error' || true; }
disk=$(disk 0); generic=$(generic 0)
echo 2 >/sys/block/${disk##*/}/device/timeout
before=$(lost)
"""

SOUND = """
if dmesg | grep -E 'BUG:|Oops|general protection|Kernel panic|soft lockup|blocked for more than'; then exit 1; fi
pidof iscsid >/dev/null
[ ! -e /tmp/odx-evil ]
"""


def test_linux_sees_each_kind_of_fault(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    served, pool = start(("first=64M",)), tmp_path / "pool"
    guest = boot_guest(served)
    guest.run(SHORT_TIMEOUTS + WITH_DIGESTS)
    seen = []
    for kind in KINDS:
        inject(pool, kind.rule.replace("{port}", served.portal.rpartition(":")[2]))
        printed = guest.run(f"{ACTS}{SCRIPTS[kind.act]}\n[ $before = $(lost) ] || echo 'after a new login'")
        seen.append(", ".join(printed.splitlines()))
        (rule,) = request(pool, "faults", {})["faults"]
        assert rule["hits"] == 1, (kind, printed)
    assert seen == [kind.seen for kind in KINDS]
    guest.run(SOUND)


def inject(pool: Path, rule: str) -> None:
    request(pool, "fault-clear", {})
    request(pool, "fault-add", {"rule": f"{rule} times=1"})


def test_no_hostile_answer_crashes_linux_or_makes_it_hang(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    assert {*DISCOVERIES, *SESSIONS} == set(EVIL)
    config = tmp_path / "array.toml"
    config.write_text("".join(f'[[target]]\niqn = "{target_of(name)}"\n' for name in SESSIONS))
    served, pool = start(("first=64M",), options=("--config", str(config))), tmp_path / "pool"
    guest = boot_guest(served)
    log_in_to_each_target(guest)
    assert {name: discovered(guest, pool, name) for name in DISCOVERIES} == DISCOVERIES
    request(pool, "fault-clear", {})
    for name in SESSIONS:
        request(pool, "fault-add", {"rule": {"evil": name, "times": 1, "target": target_of(name)}, "name": name})
    assert set(guest.run(MEET_ALL, timeout_s=MAX_HOSTILE_S).split()) == {target_of(name) for name in SESSIONS}
    hits = {rule["name"]: rule["hits"] for rule in request(pool, "faults", {})["faults"]}
    assert [name for name in SESSIONS if not hits[name]] == []
    request(pool, "fault-clear", {})
    guest.run(USE_ALL, timeout_s=MAX_HOSTILE_S)
    guest.run(SOUND)


def target_of(name: str) -> str:
    """Return the target whose sessions get a hostile answer."""
    return f"{IQN}-{name.lower()}"


def log_in_to_each_target(guest: Guest) -> None:
    guest.run(f"""{SHORT_TIMEOUTS}
        iscsiadm -m node --login >/dev/null
        all() {{ [ $(disks 0 | wc -l) = {len(SESSIONS) + 1} ]; }}
        within 10 all
    """)


def discovered(guest: Guest, pool: Path, name: str) -> int:
    """Return the exit status of a discovery that gets a hostile answer."""
    request(pool, "fault-clear", {})
    request(pool, "fault-add", {"rule": {"evil": name, "times": 1}})
    status = guest.run("timeout 10 iscsiadm -m discovery -t sendtargets -p $portal >/dev/null 2>&1 || echo $?").strip()
    (rule,) = request(pool, "faults", {})["faults"]
    assert rule["hits"], name
    return int(status or 0)


EACH = """
each() {
    for session in /sys/class/iscsi_session/session*; do
        name=$(cat $session/targetname)
        disk=$(ls $session/device/target*/*:0/block)
        if [ "$name" != "$target" ]; then "$@" "$name" "/dev/$disk" & fi
    done
    wait
}
"""

MEET_ALL = (
    EACH
    + """
meet() {
    echo 2 >/sys/block/${2##*/}/device/timeout
    dd if=$2 of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null || true
    dd if=/dev/zero of=$2 bs=64k count=1 oflag=direct 2>/dev/null || true
    sg_turs $2 >/dev/null 2>&1 || true
    echo "$1"
}
each meet
"""
)
"""Send commands to each target at the same time, and print its name when they have ended."""

USE_ALL = (
    EACH
    + """
use() { within 10 dd if=$2 of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null || echo "$1" >>/tmp/unusable; }
each use
[ ! -e /tmp/unusable ] || { cat /tmp/unusable; exit 1; }
"""
)
