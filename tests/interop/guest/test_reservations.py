"""Tests of persistent reservations by sg_persist. One guest acts as two initiators with two names."""

import re

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import Boot, Guest

pytestmark = pytest.mark.interop

LUNS = [0, 2]
"""One LUN with blocks of 512 bytes, and one with blocks of 4096 bytes."""

# exit statuses of sg3-utils
ILLEGAL_REQUEST, UNIT_ATTENTION, RESERVATION_CONFLICT = 5, 6, 24

LOGIN = """
iscsiadm -m iface -I second -o new >/dev/null
iscsiadm -m iface -I second -o update -n iface.initiatorname -v iqn.2026-11.example:second >/dev/null
discover -I default -I second >/dev/null
node --login >/dev/null
two() { [ $(generic $lun | wc -l) = 2 ]; }
within 10 two
"""

WORDS = f"""
set -- $(generic $lun); one=$1 other=$2
bytes=$(blockdev --getss $(disk $lun))
change() {{ _device=$1; shift; sg_persist --no-inquiry --out "$@" $_device; }}
ask() {{ _device=$1; shift; sg_persist --no-inquiry --in "$@" $_device; }}
reads() {{ sg_raw --request=$bytes $1 28 00 00 00 00 00 00 00 01 00 >/dev/null 2>&1; }}
writes() {{ head -c $bytes /dev/urandom | sg_raw --send=$bytes $1 2a 00 00 00 00 00 00 00 01 00 >/dev/null 2>&1; }}
# may DEVICE WHAT: whether it can read (r) and write (w)
may() {{
    case $2 in *r*) reads $1 ;; *) expect {RESERVATION_CONFLICT} reads $1 ;; esac
    case $2 in *w*) writes $1 ;; *) expect {RESERVATION_CONFLICT} writes $1 ;; esac
}}
# told DEVICE WORDS: the next command is answered by this unit attention
told() {{ expect {UNIT_ATTENTION} sg_raw $1 00 00 00 00 00 00 >/tmp/told 2>&1; cat /tmp/told; grep -i "$2" /tmp/told; }}
"""

CLEARED = """
clear_reservations() {
    change $one --register-ignore --param-sark=0x1
    change $one --clear --param-rk=0x1
    for _device in $one $other; do within 1 sg_turs $_device >/dev/null 2>&1; done
}
# what an earlier scenario left on an array that has served it, and what this one would leave to others
clear_reservations
trap 'clear_reservations >/dev/null 2>&1 || true' EXIT
"""

TWO_INITIATORS = f"{LOGIN}{WORDS}{CLEARED}"


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_each_type_of_reservation_keeps_others_out(guest: Guest, lun: int) -> None:
    guest.run(
        f"""{TWO_INITIATORS}
        while read -r type unregistered registered; do
            change $one --register --param-sark=0x11
            change $one --reserve --param-rk=0x11 --prout-type=$type
            may $one rw
            may $other $unregistered
            change $other --register --param-sark=0x22
            may $other $registered
            ask $other --read-reservation
            change $one --clear --param-rk=0x11
            told $other 'reservations preempted'
            may $other rw
        done <<END
        1 r r
        3 - -
        5 r rw
        6 - rw
        7 r rw
        8 - rw
END
        """,
        lun=lun,
    )


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_preempted_and_released(guest: Guest, lun: int) -> None:
    printed = guest.run(
        f"""{TWO_INITIATORS}
        change $one --register --param-sark=0x11
        change $other --register --param-sark=0x22
        change $one --reserve --param-rk=0x11 --prout-type=5
        change $other --preempt --param-rk=0x22 --param-sark=0x11 --prout-type=5
        told $one 'registrations preempted'
        may $one r
        echo preempted; ask $one --read-keys; ask $one --read-reservation
        change $one --register-ignore --param-sark=0x33
        may $one rw
        change $other --release --param-rk=0x22 --prout-type=5
        told $one 'reservations released'
        change $other --register --param-rk=0x22 --param-sark=0
        echo released; ask $one --read-keys; ask $one --read-reservation
        """,
        lun=lun,
    )
    preempted, released = printed.split("\npreempted\n")[1].split("\nreleased\n")
    assert re.findall(r"0x[0-9a-f]+", preempted.replace("PR generation=0x", "")) == ["0x22", "0x22"]
    assert re.findall(r"0x[0-9a-f]+", released.replace("PR generation=0x", "")) == ["0x33"]
    assert "NO reservation held" in released


@pytest.mark.witnessed
def test_what_only_those_who_are_registered_and_hold_it_may(guest: Guest) -> None:
    guest.run(
        f"""{TWO_INITIATORS}
        change $one --register --param-sark=0x11
        expect {RESERVATION_CONFLICT} change $one --register --param-rk=0x12 --param-sark=0x13
        expect {RESERVATION_CONFLICT} change $one --reserve --param-rk=0x12 --prout-type=1
        change $one --reserve --param-rk=0x11 --prout-type=1
        expect {RESERVATION_CONFLICT} change $one --reserve --param-rk=0x11 --prout-type=3
        change $other --register --param-sark=0x22
        expect {RESERVATION_CONFLICT} change $other --reserve --param-rk=0x22 --prout-type=1
        change $other --release --param-rk=0x22 --prout-type=1
        may $other r
        change $one --release --param-rk=0x11 --prout-type=1
        may $other rw
        """,
        lun=0,
    )


def test_refusals_that_lio_answers_otherwise(guest: Guest) -> None:
    # LIO returns NOT READY to an unregistered initiator, and a conflict if the type to release is not the type held.
    guest.run(
        f"""{TWO_INITIATORS}
        expect {RESERVATION_CONFLICT} change $one --reserve --param-rk=0x11 --prout-type=1
        expect {RESERVATION_CONFLICT} change $one --register --param-rk=0x11 --param-sark=0x12
        change $other --register --param-sark=0x22
        expect {RESERVATION_CONFLICT} change $one --preempt --param-rk=0x11 --param-sark=0x22 --prout-type=1
        expect {RESERVATION_CONFLICT} change $one --clear --param-rk=0x11
        ask $one --read-reservation | grep 'NO reservation'
        change $one --register --param-sark=0x11
        change $one --reserve --param-rk=0x11 --prout-type=1
        expect {ILLEGAL_REQUEST} change $one --release --param-rk=0x11 --prout-type=3
        may $other r
        """,
        lun=0,
    )


@pytest.mark.witnessed
def test_full_status_names_both_ports(guest: Guest) -> None:
    printed = guest.run(
        f"""{TWO_INITIATORS}
        change $one --register --param-sark=0x11
        change $other --register --param-sark=0x22
        change $one --reserve --param-rk=0x11 --prout-type=6
        ask $other --read-full-status
        ask $other --report-capabilities
        """,
        lun=0,
    )
    assert sorted(re.findall(r"Key=(\S+)", printed)) == ["0x11", "0x22"]
    names = re.findall(r"iSCSI world wide unique port id: (\S+),i,0x", printed)
    assert len(names) == len(set(names)) == 2
    assert "type: Exclusive Access, registrants only" in printed
    assert "Type Mask Valid(TMV): 1" in printed


def test_a_reservation_moves_to_another_port(guest: Guest) -> None:
    guest.run(
        f"""{TWO_INITIATORS}
        change $other --register --param-sark=0x22
        port=$(ask $other --read-full-status | sed -n 's/.*\\(iqn[^ ]*,i,0x[0-9a-f]*\\).*/\\1/p')
        change $other --register --param-rk=0x22 --param-sark=0
        change $one --register --param-sark=0x11
        change $one --reserve --param-rk=0x11 --prout-type=3
        may $other -
        change $one --register-move --unreg --param-rk=0x11 --param-sark=0x22 --relative-target-port=1 --transport-id=$port
        may $other rw
        may $one -
        [ "$(ask $other --read-keys | grep -c '^ *0x')" = 1 ]
        """,
        lun=0,
    )


def test_tokens_are_made_and_used_as_the_reservation_lets(guest: Guest) -> None:
    guest.run(
        f"""{TWO_INITIATORS}
        # ddptctl puts addresses and counts one byte early: 2 blocks are 512
        token() {{ ddptctl --pt=0,2 --rtf=/tmp/token $1; }}
        use() {{ ddptctl --wut=4,2 --rtf=/tmp/token $1; }}
        fill $(disk 0) 0 512
        token $other; use $other
        change $one --register --param-sark=0x11
        change $one --reserve --param-rk=0x11 --prout-type=1
        token $other
        expect {RESERVATION_CONFLICT} use $other
        use $one
        change $one --release --param-rk=0x11 --prout-type=1
        change $one --reserve --param-rk=0x11 --prout-type=3
        expect {RESERVATION_CONFLICT} token $other
        expect {RESERVATION_CONFLICT} use $other
        token $one; use $one
        same $(disk 0) 0 $(disk 0) 1024 512
        """,
        lun=0,
    )


def test_a_reservation_that_is_to_outlive_the_server_does(boot_guest: Boot, start: Start) -> None:
    served = start(("disk=64M", "other=64M"))
    guest = boot_guest(served)
    guest.run(
        f"""{TWO_INITIATORS}
        change $one --register --param-aptpl --param-sark=0x11
        change $one --reserve --param-rk=0x11 --prout-type=3
        set -- $(generic 1)
        change $1 --register --param-sark=0x11
        change $1 --reserve --param-rk=0x11 --prout-type=3
        trap - EXIT  # the reservation stays
        """,
        lun=0,
    )
    served.kill()
    start(portal=served.portal)
    printed = guest.run(
        f"""{WORDS}
        within 60 sg_turs $one; within 60 sg_turs $other
        ask $other --read-reservation
        may $one rw
        may $other -
        set -- $(generic 1)
        within 60 sg_turs $2
        echo second
        ask $2 --read-keys
        may $2 rw
        """,
        lun=0,
    )
    first, second = printed.split("second\n")
    assert "Key=0x11" in first
    assert "there are NO registered reservation keys" in second
