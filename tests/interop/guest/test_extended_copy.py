"""EXTENDED COPY by sg_xcopy and ddpt, which use the kernel's SG_IO, its results by sg_copy_results, and `esxi-copy` and `ready`
against the kernel's own target.
"""

import json
import subprocess

import pytest

from tests.interop import forked
from tests.interop.guest.conftest import START_LIO, Boot, Guest

pytestmark = pytest.mark.interop

PAIRS = [(0, 1), (2, 3), (0, 0), (2, 2)]
"""LUNs (source, destination). LUNs 0 and 1 have blocks of 512 bytes, 2 and 3 of 4096 bytes."""
DEVICES = """
login; device=$(generic $source); disk=$(disk $source); other_device=$(generic $other); other=$(disk $other)
size=$(blockdev --getss $disk); blocks=$((2097152 / size)); first=$((4194304 / size)); last=$((67108864 / size))
"""
"""Shell commands that log in and find the devices, a number of blocks, and a first block of the destination."""
ILLEGAL_REQUEST, COPY_ABORTED = 5, 10
"""Exit statuses of sg3-utils."""


@pytest.mark.witnessed
@pytest.mark.parametrize(("source", "other"), PAIRS)
def test_sg_xcopy(guest: Guest, source: int, other: int) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 $((blocks + 8))
        fill $other $((first - 8)) $((blocks + 16))
        before=$(sum $other $((first - 8)) 8) after=$(sum $other $((first + blocks)) 8)
        sg_xcopy if=$device of=$other_device bs=$size skip=8 seek=$first count=$blocks
        same $disk 8 $other $first $blocks
        [ "$before" = "$(sum $other $((first - 8)) 8)" ]
        [ "$after" = "$(sum $other $((first + blocks)) 8)" ]
        """,
        source=source,
        other=other,
    )


@pytest.mark.witnessed
@pytest.mark.parametrize(("source", "other"), PAIRS[:2])
def test_ddpt(guest: Guest, source: int, other: int) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 $blocks
        fill $other $first $blocks
        ddpt if=$device iflag=xcopy of=$other_device bs=$size seek=$first count=$blocks
        same $disk 0 $other $first $blocks
        """,
        source=source,
        other=other,
    )


@pytest.mark.witnessed
def test_sg_xcopy_is_sent_to_either_lun(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        for receiver in --on_src --on_dst; do
            fill $disk 0 $blocks
            sg_xcopy $receiver if=$device of=$other_device bs=$size count=$blocks
            same $disk 0 $other 0 $blocks
        done
        """,
        source=0,
        other=1,
    )


def test_limits_are_understood(guest: Guest) -> None:
    printed = guest.run(f"{DEVICES} sg_copy_results --params $device", source=0, other=1)
    for wanted in (
        *("Maximum target descriptor count: 16", "Maximum segment descriptor count: 64", "Maximum segment length: 268435456"),
        *("Inline data not supported", "Held data limit: 0", "Supports no list identifier (SNLID): yes"),
        *("Copy from block device to block device", "Identification descriptor"),
    ):
        assert wanted.lower() in printed.lower(), printed


def test_the_result_of_a_copy_is_reported_once(guest: Guest) -> None:
    printed = guest.run(
        f"""{DEVICES}
        fill $disk 0 $blocks
        sg_xcopy id_usage=hold list_id=7 if=$device of=$other_device bs=$size count=$blocks
        sg_copy_results --status --list_id=7 $other_device
        expect {ILLEGAL_REQUEST} sg_copy_results --status --list_id=7 $other_device
        expect {ILLEGAL_REQUEST} sg_copy_results --status --list_id=8 $other_device
        expect {ILLEGAL_REQUEST} sg_copy_results --receive --list_id=7 $other_device
        """,
        source=0,
        other=1,
    )
    assert "completed without errors" in printed
    assert "Segments processed: 1" in printed


def test_a_copy_past_the_last_block_fails_and_reports_details(guest: Guest) -> None:
    printed = guest.run(
        f"""{DEVICES}
        fill $disk $((last - 8)) 8
        fill $other 0 16
        before=$(sum $other 0 16)
        expect {COPY_ABORTED} sg_xcopy id_usage=hold list_id=9 if=$device of=$other_device bs=$size skip=$((last - 8)) count=16
        sg_copy_results --status --list_id=9 $other_device
        sg_copy_results --failed --list_id=9 $other_device
        [ "$before" = "$(sum $other 0 16)" ]
        """,
        source=0,
        other=1,
    )
    assert "completed with errors" in printed.lower(), printed
    assert "Copy Aborted" in printed


@pytest.mark.parametrize("lun", [0, 2])
def test_the_hosts_of_this_project_meet_the_kernel_s_target(boot_guest: Boot, way: str, lun: int) -> None:
    if way != "uml":
        pytest.skip("the host reaches only the network of User-mode-linux")
    witness = boot_guest(name="witness")
    witness.prelude = START_LIO
    portal, target = witness.run('echo "$portal $target"').split()
    urls = [f"iscsi://{portal}/{target}/{number}" for number in (lun, lun + 1)]
    words = ("--disk-size", "12M", "--written", "10M", "--disk-type", "eagerzeroedthick", "--fill")
    ended = odx_target("esxi-copy", *urls, *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert "1 piece of 10.0 MiB: 3 EXTENDED COPY" in lines
    assert "1 piece of 2.0 MiB: 2 WRITE SAME" in lines
    assert f"LUN {lun + 1} hardware acceleration supported: clone supported, ATS supported, zero supported" in lines
    assert "10485760 bytes offloaded, 0 by reads and writes, 2097152 zeroed by WRITE SAME, 0 zeroed by writes" in lines[-2]
    assert lines[-1] == "equal"
    ready = odx_target("ready", urls[0], "--json")
    assert (ready.returncode, ready.stderr) == (1, "odx-target: not ready: windows, ddpt\n")
    assert {host["host"]: host["reasons"] for host in json.loads(ready.stdout)["hosts"]} == {
        "windows": ["VPD page 8Fh is not in the list of pages"],
        "esxi": [],
        "ddpt": ["it has no VPD page 8Fh (third-party copy)"],
    }


def odx_target(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the machine of the tests."""
    return forked.run(*words, timeout_s=120)
