"""Tests of offloaded copy by ddptctl: copied data, refused commands, and the end of tokens."""

from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot, Guest
from tests.interop.guest.ddptctl import (
    CANCELLED,
    CORRUPT,
    DELETED,
    DEVICES,
    EXPIRED,
    ILLEGAL_REQUEST,
    INVALID_FIELD_IN_LIST,
    INVALID_LENGTH,
    OUT_OF_RANGE,
    REMOTE,
    TOO_MANY_DESCRIPTORS,
    UNKNOWN,
    UNSUPPORTED_TYPE,
    ranges,
)

pytestmark = pytest.mark.interop

PAIRS = [(0, 1), (2, 3), (0, 3), (2, 1)]
"""LUNs (source, destination). LUNs 0 and 1 have blocks of 512 bytes, 2 and 3 of 4096 bytes."""


def test_what_the_array_can_do_is_understood(guest: Guest) -> None:
    printed = guest.run(
        "login; ddptctl --info $(generic 0); ddptctl -s $(generic 0); ddptctl -s $(generic 2); ddptctl -a $(generic 0)"
    )
    for wanted in (
        *(
            "Populate token",
            "Write using token",
            "Receive ROD token information",
            "Copy operation abort",
            "Report all ROD tokens",
        ),
        *("point in time copy - default [0x800000]", "block device zero [0xffff0001]", "Maximum Range Descriptors: 64"),
        *("num_blocks=131072 [0x20000], block_size=512", "num_blocks=16384 [0x4000], block_size=4096"),
        "No management ROD Tokens reported",
    ):
        assert wanted in printed


@pytest.mark.parametrize(("source", "other"), PAIRS)
def test_copied_between_luns(guest: Guest, source: int, other: int) -> None:
    # 2 MiB of the source, in blocks of the source and of the destination
    of_source, of_other = ((8 << 20) // (512 if lun < 2 else 4096) for lun in (source, other))
    guest.run(
        f"""{DEVICES}
        fill $disk 0 $((blocks * 2))
        ddptctl --pt={ranges((of_source // 2, of_source))} --rtf=/tmp/token $device
        [ $(stat -c %s /tmp/token) = 512 ]
        before=$(sum $disk $((blocks / 2)) $blocks)
        fill $disk 0 $((blocks * 2))
        ddptctl --wut={ranges((of_other, of_other))} --rtf=/tmp/token $other_device
        [ "$(sum $other $other_blocks $other_blocks)" = "$before" ]
        zeros $other 0 $other_blocks
        zeros $other $((other_blocks * 2)) 256
        """,
        source=source,
        other=other,
        blocks=of_source,
        other_blocks=of_other,
    )


@pytest.mark.parametrize(("source", "other"), PAIRS[:2])
def test_gathered_and_scattered(guest: Guest, source: int, other: int) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 8192
        ddptctl --pt={ranges((4096, 1024), (0, 256), (2048, 768))} --rtf=/tmp/token $device
        ddptctl --wut={ranges((7168, 256), (512, 1280), (3072, 512))} --rtf=/tmp/token $other_device
        same $disk 4096 $other 7168 256
        same $disk 4352 $other 512 768
        same $disk 0 $other 1280 256
        same $disk 2048 $other 1536 256
        same $disk 2304 $other 3072 512
        zeros $other 0 512
        zeros $other 1792 1280
        """,
        source=source,
        other=other,
    )


@pytest.mark.parametrize("offset", [1, 8, 255, 1024])
def test_from_an_offset_into_the_rod(guest: Guest, offset: int) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 4096
        ddptctl --pt={ranges((0, 4096))} --rtf=/tmp/token $device
        ddptctl --wut={ranges((256, 512))} --oir=$offset --rtf=/tmp/token $other_device
        same $disk $offset $other 256 512
        ddptctl --wut={ranges((1024, 512), (2048, 256))} --oir=$offset --rtf=/tmp/token $other_device
        same $disk $offset $other 1024 512
        same $disk $((offset + 512)) $other 2048 256
        zeros $other 0 256
        zeros $other 1536 512
        """,
        source=0,
        other=1,
        offset=offset,
    )


def test_beyond_the_end_of_the_rod(guest: Guest) -> None:
    # SBC-4: the copy manager writes the data that the ROD has; ddptctl prints the transfer count.
    printed = guest.attempt(
        f"""{DEVICES}
        fill $disk 0 1024
        ddptctl --pt={ranges((0, 1024))} --rtf=/tmp/token $device
        fill $other 0 4096
        before=$(sum $other 1024 3072)
        ddptctl --wut={ranges((0, 2048))} --rtf=/tmp/token $other_device || echo "status $?"
        [ "$(sum $other 1024 3072)" = "$before" ]
        expect {INVALID_FIELD_IN_LIST} ddptctl --wut={ranges((0, 256))} --oir=1024 --rtf=/tmp/token $other_device
        """,
        source=0,
        other=1,
    )
    assert printed.status == 0, printed.output


@pytest.mark.parametrize("lun", [1, 3])
def test_the_zero_token_zeroes(guest: Guest, lun: int) -> None:
    guest.run(
        f"""login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 4096
        head=$(sum $disk 0 256); tail=$(sum $disk 2304 256)
        touch /tmp/nothing
        ddptctl --wut={ranges((256, 2048))} --rtype=zero --rtf=/tmp/nothing $device
        zeros $disk 256 2048
        [ "$(sum $disk 0 256)" = "$head" ]
        [ "$(sum $disk 2304 256)" = "$tail" ]
        expect {INVALID_FIELD_IN_LIST} ddptctl --pt={ranges((0, 256))} --rtype=zero --rtf=/tmp/token $device
        """,
        lun=lun,
    )


@pytest.mark.parametrize("rod_type", ["pit-def", "pit-vuln", "pit-pers"])
def test_each_rod_type(guest: Guest, rod_type: str) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtype=$type --rtf=/tmp/token $device
        ddptctl --info --rtf=/tmp/token
        ddptctl --all_toks $device | tee /tmp/all
        grep 'headers returned: 1' /tmp/all
        ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $other_device
        same $disk 0 $other 0 512
        """,
        source=0,
        other=1,
        type=rod_type,
    )


def test_a_token_ends_when_it_is_not_used_in_time(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --timeout=1 --rtf=/tmp/token $device
        sleep 1.5
        expect {EXPIRED} ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $other_device
        zeros $other 0 512
        expect {INVALID_FIELD_IN_LIST} ddptctl --pt={ranges((0, 512))} --timeout=3601 --rtf=/tmp/other $device
        """,
        source=0,
        other=1,
    )


def test_started_and_asked_about_later(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 8192
        ddptctl --pt={ranges((0, 8192))} --immed --list_id=300 --rtf=/tmp/unused $device
        ddptctl --poll --list_id=300 --rtf=/tmp/token $device | grep 'transfer count of 8192'
        ddptctl --wut={ranges((0, 8192))} --immed --list_id=301 --rtf=/tmp/token $other_device
        ddptctl --poll --list_id=301 $other_device | grep 'transfer count of 8192'
        ddptctl --receive --list_id=301 $other_device | grep 'completed without errors'
        ddptctl --receive --prefer-rcs --list_id=301 $other_device
        same $disk 0 $other 0 8192
        """,
        source=0,
        other=1,
    )


def test_a_deleted_token_is_gone(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $device
        ddptctl --wut={ranges((0, 512))} --del_tkn --rtf=/tmp/token $other_device
        same $disk 0 $other 0 512
        expect {DELETED} ddptctl --wut={ranges((1024, 512))} --rtf=/tmp/token $other_device
        ddptctl --all_toks $device | grep 'No management'
        """,
        source=0,
        other=1,
    )


def test_a_change_of_the_source_cancels_a_vulnerable_token(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 1024
        ddptctl --pt={ranges((0, 512))} --rtype=pit-vuln --rtf=/tmp/token $device
        fill $disk 512 512
        ddptctl --wut={ranges((0, 256))} --rtf=/tmp/token $other_device
        fill $disk 504 8
        expect {CANCELLED} ddptctl --wut={ranges((0, 512))} --rtf=/tmp/token $other_device
        """,
        source=0,
        other=1,
    )


def test_tokens_that_are_none_of_ours(guest: Guest) -> None:
    guest.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/token $device
        change() {{ cp /tmp/token /tmp/changed; printf "$2" | dd of=/tmp/changed bs=1 seek=$1 conv=notrunc 2>/dev/null; }}
        use() {{ ddptctl --wut={ranges((0, 512))} --rtf=/tmp/changed $other_device; }}
        printf '\\001\\002\\003\\004\\000\\000\\001\\370' | cat - /dev/zero | head -c 512 >/tmp/changed
        expect {UNSUPPORTED_TYPE} use
        change 6 '\\000\\000'; expect {INVALID_LENGTH} use
        change 300 '\\377\\377\\377\\377\\377'; expect {CORRUPT} use
        head -c 512 /dev/zero >/tmp/changed; expect {INVALID_LENGTH} use
        zeros $other 0 512
        cp /tmp/token /tmp/changed; use
        same $disk 0 $other 0 512
        """,
        source=0,
        other=1,
    )


def test_a_token_of_another_array_is_remote(boot_guest: Boot, start: Start) -> None:
    made = boot_guest(start(("one=64M",), pool="here"))
    made.run(f"login; fill $(disk 0) 0 256; ddptctl --pt={ranges((0, 256))} --rtf=/share/token $(generic 0); logout")
    used = Guest(made.machine, start(("two=64M",), pool="elsewhere"))
    used.run(
        f"rm -rf /etc/iscsi/nodes/*; login; expect {REMOTE} ddptctl --wut={ranges((0, 256))} --rtf=/share/token $(generic 0)"
    )


def test_a_persistent_token_outlives_the_server(boot_guest: Boot, start: Start) -> None:
    luns = ("source=64M", "other=64M")
    made = boot_guest(served := start(luns))
    made.run(
        f"""{DEVICES}
        fill $disk 0 512
        ddptctl --pt={ranges((0, 512))} --rtf=/tmp/default $device
        ddptctl --pt={ranges((0, 512))} --rtype=pit-pers --rtf=/tmp/persistent $device
        sum $disk 0 512 >/tmp/before
        fill $disk 0 512
        sync; logout; rm -r /etc/iscsi/nodes/*
        """,
        source=0,
        other=1,
    )
    served.kill()
    Guest(made.machine, start()).run(
        f"""{DEVICES}
        expect {UNKNOWN} ddptctl --wut={ranges((0, 512))} --rtf=/tmp/default $other_device
        zeros $other 0 512
        ddptctl --wut={ranges((0, 512))} --rtf=/tmp/persistent $other_device
        sum $other 0 512 | cmp - /tmp/before
        """,
        source=0,
        other=1,
    )


def test_refused_ranges(guest: Guest) -> None:
    many = ranges(*((number * 256, 256) for number in range(65)))
    guest.run(
        f"""{DEVICES}
        expect {OUT_OF_RANGE} ddptctl --pt={ranges((131072 - 256, 512))} --rtf=/tmp/token $device
        expect {OUT_OF_RANGE} ddptctl --pt={ranges((1 << 40, 256))} --rtf=/tmp/token $device
        expect {INVALID_FIELD_IN_LIST} ddptctl --pt={ranges((0, 512), (256, 512))} --rtf=/tmp/token $device
        expect {TOO_MANY_DESCRIPTORS} ddptctl --pt={many} --rtf=/tmp/token $device
        fill $disk 0 256
        ddptctl --pt={ranges((0, 256))} --rtf=/tmp/token $device
        expect {OUT_OF_RANGE} ddptctl --wut={ranges((131072, 256))} --rtf=/tmp/token $other_device
        expect {INVALID_FIELD_IN_LIST} ddptctl --wut={ranges((0, 512), (256, 512))} --rtf=/tmp/token $other_device
        expect {ILLEGAL_REQUEST} ddptctl --receive --list_id=4711 $device
        expect {ILLEGAL_REQUEST} ddptctl --abort --list_id=4711 $device
        """,
        source=0,
        other=1,
    )


def test_copied_while_another_guest_writes_the_source(boot_guest: Boot, start: Start, tmp_path: Path) -> None:
    everything = ranges((0, 16384))
    served = start(("source=64M", "destination=64M"))
    one, two = boot_guest(served, name="one"), boot_guest(served, name="two")
    sums = one.run(
        f"login; fill $(disk 0) 0 16384; sum $(disk 0) 0 16384\nddptctl --pt={everything} --rtf=/share/token $(generic 0)"
    )
    (two.share / "token").write_bytes((one.share / "token").read_bytes())
    writing = one.start("for turn in 1 2 3 4; do fill $(disk 0) 0 16384; done")
    copied = two.run(f"login; ddptctl --wut={everything} --rtf=/share/token $(generic 1) >/dev/null; sum $(disk 1) 0 16384")
    assert copied.split()[0] == sums.split()[0]
    assert writing.wait().status == 0
