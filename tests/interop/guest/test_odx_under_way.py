"""Tests of slow token copies, which ddptctl watches and aborts, and of copies that the settings of the array refuse."""

import re
from pathlib import Path

import pytest

from odx_target.target.control.client import request
from tests.interop.conftest import Start
from tests.interop.guest.conftest import LUNS, Boot, Guest
from tests.interop.guest.ddptctl import (
    CAUSE_NOT_REPORTABLE,
    COPY_ABORTED,
    DEVICES,
    ILLEGAL_REQUEST,
    IN_PROGRESS,
    REMOTE_CREATION,
    REVOKED,
    UNSUPPORTED_TYPE,
    ranges,
)

pytestmark = pytest.mark.interop

PAIRS = [(0, 1), (3, 2)]
"""LUNs (source, destination), one pair with blocks of 512 bytes and one with blocks of 4096 bytes."""

RATE = "1M"
"""Bytes per second of all copies together."""

TRANSFER_COUNT = re.compile(r"transfer count of (\d+)")


def _counts(printed: str) -> list[int]:
    return [int(count) for count in TRANSFER_COUNT.findall(printed)]


@pytest.fixture
def slow(boot_guest: Boot, start: Start) -> Guest:
    """A guest, and an array with a low copy rate."""
    return boot_guest(start(LUNS, options=("--copy-rate", RATE)))


@pytest.mark.parametrize(("source", "other"), PAIRS)
def test_watched_and_aborted(slow: Guest, source: int, other: int) -> None:
    blocks = (8 << 20) // (512 if source < 2 else 4096)
    use = f"ddptctl --wut={ranges((0, blocks))} --immed --list_id=700 --rtf=/tmp/token $other_device"
    printed = slow.run(
        f"""{DEVICES}
        fill $disk 0 {blocks}
        ddptctl --pt={ranges((0, blocks))} --rtf=/tmp/token $device >/dev/null
        {use}
        expect {IN_PROGRESS} {use}
        report() {{ ddptctl --receive --list_id=700 "$@" $other_device >/tmp/report; cat /tmp/report; }}
        moves() {{ report && ! grep -q 'count of 0 ' /tmp/report; }}
        within 20 moves
        report
        report --prefer_rcs
        ddptctl --abort --list_id=700 $other_device
        echo aborted
        report
        report --prefer_rcs
        count=$(sed -n 's/.*transfer count of \\([0-9]*\\) .*/\\1/p' /tmp/report)
        same $disk 0 $other 0 $count
        zeros $other $count $(({blocks} - count))
        expect {ILLEGAL_REQUEST} ddptctl --abort --list_id=700 $other_device
        # the token lives on, and the list identifier is free
        ddptctl --wut={ranges((0, 256))} --list_id=700 --rtf=/tmp/token $other_device
        same $disk 0 $other 0 256
        """,
        source=source,
        other=other,
    )
    before, after = printed.split("aborted\n")
    assert "Operation in progress in background" in before
    assert after.count("Operation terminated") == 2
    counts = _counts(before)
    assert counts == sorted(counts)
    assert 0 < counts[-1] <= _counts(after)[0] == _counts(after)[1] < blocks


def test_polled_until_it_is_done(slow: Guest) -> None:
    printed = slow.run(
        f"""{DEVICES}
        fill $disk 0 4096
        ddptctl --pt={ranges((0, 4096))} --rtf=/tmp/token $device >/dev/null
        ddptctl --wut={ranges((0, 4096))} --immed --list_id=701 --rtf=/tmp/token $other_device
        ddptctl --receive --list_id=701 $other_device
        ddptctl --poll --list_id=701 $other_device
        same $disk 0 $other 0 4096
        """,
        source=0,
        other=1,
    )
    assert "Operation in progress" in printed
    assert "completed without errors" in printed
    first, last = _counts(printed)
    assert first < last == 4096


def test_out_of_time_and_taken_up_again(slow: Guest) -> None:
    """A copy ends after four seconds with a partial result, and the host continues from there."""
    blocks = 16384
    printed = slow.run(
        f"""{DEVICES}
        fill $disk 0 {blocks}
        ddptctl --pt={ranges((0, blocks))} --rtf=/tmp/token $device >/dev/null
        expect {COPY_ABORTED} ddptctl --wut={ranges((0, blocks))} --list_id=702 --rtf=/tmp/token $other_device 2>&1
        ddptctl --receive --list_id=702 $other_device | tee /tmp/report
        count=$(sed -n 's/.*transfer count of \\([0-9]*\\) .*/\\1/p' /tmp/report)
        same $disk 0 $other 0 $count
        zeros $other $count $(({blocks} - count))
        # ddptctl takes whole multiples of 256 blocks
        done=$((count / 256))
        rest=$done,$(({blocks} / 256 - done))
        ddptctl --wut=$rest --oir=$((done * 256)) --immed --list_id=702 --rtf=/tmp/token $other_device
        ddptctl --poll --list_id=702 $other_device
        same $disk 0 $other 0 {blocks}
        """,
        source=0,
        other=1,
    )
    information = re.search(r"Info fld=\S+ \[(\d+)\]", printed)
    assert information is not None
    assert "Copy target device data underrun" in printed
    assert "partial ROD token usage" in printed
    counts = _counts(printed)
    assert int(information[1]) == counts[0]
    assert 0 < counts[0] < blocks


def test_a_reset_ends_what_is_under_way(slow: Guest) -> None:
    slow.run(
        f"""{DEVICES}
        fill $disk 0 16384
        ddptctl --pt={ranges((0, 16384))} --rtf=/tmp/token $device
        ddptctl --wut={ranges((0, 16384))} --immed --list_id=703 --rtf=/tmp/token $other_device
        sg_reset --device $other_device
        within 5 sg_turs $other_device
        expect {ILLEGAL_REQUEST} ddptctl --receive --list_id=703 $other_device
        before=$(sum $other 0 16384)
        sleep 0.5
        [ "$(sum $other 0 16384)" = "$before" ]
        zeros $other 8192 8192
        ddptctl --wut={ranges((0, 256))} --rtf=/tmp/token $other_device
        same $disk 0 $other 0 256
        """,
        source=0,
        other=1,
    )


def test_a_revoked_token(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    guest = boot_guest(start(LUNS))
    guest.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $device
        """,
        source=0,
        other=1,
    )
    (token,) = request(tmp_path / "pool", "tokens", {})["tokens"]
    request(tmp_path / "pool", "revoke", {"identifier": token["identifier"]})
    guest.run(f"""
        expect {REVOKED} ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $(generic 1)
        zeros $(disk 1) 0 512
    """)


def test_an_array_that_does_not_say_why(boot_guest: Boot, start: Start) -> None:
    boot_guest(start(LUNS, options=("--no-report-token-causes",))).run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $device
        ddptctl --wut={ranges((0, 512))} --del_tkn --rtf=/tmp/token $other_device
        expect {CAUSE_NOT_REPORTABLE} ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $other_device
        """,
        source=0,
        other=1,
    )


def test_an_array_that_lacks_a_part(boot_guest: Boot, start: Start) -> None:
    boot_guest(start(LUNS, options=("--no-accept-zero-token", "--remote-lun", "first"))).run(
        f"""{DEVICES}
        fill $other 0 512
        touch /tmp/nothing
        expect {UNSUPPORTED_TYPE} ddptctl --wut={ranges((0, 512))} --rtype=zero --rtf=/tmp/nothing $other_device
        expect {REMOTE_CREATION} ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $device
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $other_device
        ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $device
        same $other 0 $disk 0 512
        """,
        source=0,
        other=1,
    )
