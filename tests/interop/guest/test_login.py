"""Discovery, login, what is agreed upon, and sessions that end badly."""

import pytest

from tests.interop.guest.conftest import Guest
from tests.interop.serving import IQN

pytestmark = pytest.mark.interop

WRITE_AND_COMPARE = """
disk=$(disk $lun)
dd if=/dev/urandom of=/tmp/data bs=1M count=6 2>/dev/null
dd if=/tmp/data of=$disk bs=4096 count=16 oflag=direct 2>/dev/null
dd if=/tmp/data of=$disk bs=1M oflag=direct conv=fsync 2>/dev/null
blockdev --flushbufs $disk
dd if=$disk bs=1M count=6 iflag=direct 2>/dev/null | cmp - /tmp/data
"""

OFFERS = {
    # what is offered: (lines of the script, what must be agreed upon)
    "nothing": ("", "immediate_data 1"),
    "header digest": ("connection_key iscsi.HeaderDigest CRC32C", "header_digest 1, data_digest 0"),
    "data digest": ("connection_key iscsi.DataDigest CRC32C", "header_digest 0, data_digest 1"),
    "both digests": (
        "connection_key iscsi.HeaderDigest CRC32C; connection_key iscsi.DataDigest CRC32C",
        "header_digest 1, data_digest 1",
    ),
    "digests if wanted": ("connection_key iscsi.HeaderDigest CRC32C,None", "header_digest 1"),
    "no immediate data": ("key iscsi.ImmediateData No", "immediate_data 0"),
    "InitialR2T": ("key iscsi.InitialR2T Yes", "initial_r2t 1"),
    "only solicited data": ("key iscsi.ImmediateData No; key iscsi.InitialR2T Yes", "immediate_data 0, initial_r2t 1"),
    "small segments": (
        "connection_key iscsi.MaxRecvDataSegmentLength 512; connection_key iscsi.MaxXmitDataSegmentLength 512",
        "max_recv_dlength 512",
    ),
    "small bursts": (
        "key iscsi.FirstBurstLength 512; key iscsi.MaxBurstLength 1024",
        "first_burst_len 512, max_burst_len 1024",
    ),
    "many R2Ts": ("key iscsi.MaxOutstandingR2T 16", ""),
    "all that is small": (
        """key iscsi.ImmediateData No; key iscsi.InitialR2T Yes; key iscsi.FirstBurstLength 512; key iscsi.MaxBurstLength 4096
        connection_key iscsi.MaxRecvDataSegmentLength 1024; connection_key iscsi.HeaderDigest CRC32C
        connection_key iscsi.DataDigest CRC32C""",
        "immediate_data 0, initial_r2t 1, max_burst_len 4096, header_digest 1, data_digest 1",
    ),
}


def test_discovery_names_the_target_and_its_portal(guest: Guest) -> None:
    assert guest.served is not None
    assert guest.run("discover").split() == [f"{guest.served.portal},1", IQN]


@pytest.mark.witnessed
@pytest.mark.parametrize("offer", OFFERS)
def test_offered(guest: Guest, offer: str) -> None:
    script, wanted = OFFERS[offer]
    agreed = guest.run(
        f"discover >/dev/null\n{script}\nlogin; agreed\nlun=0{WRITE_AND_COMPARE}\nlun=2{WRITE_AND_COMPARE}\nlogout"
    )
    assert set(filter(None, wanted.split(", "))) <= set(agreed.splitlines())


def test_many_logins(guest: Guest) -> None:
    guest.run("discover >/dev/null; for number in $(seq 20); do login; logout; done")


@pytest.mark.witnessed
def test_two_sessions_write_beside_each_other(guest: Guest) -> None:
    guest.run("""
        login
        iscsiadm -m session -r $(sessions) --op new >/dev/null
        [ $(sessions | wc -l) = 2 ]
        set -- $(disks 0)
        [ $# = 2 ]
        for turn in 1 2 3; do
            fill $1 $((turn * 4096)) 2048 & fill $2 $((turn * 4096 + 2048)) 2048 & wait
            same $1 $((turn * 4096)) $2 $((turn * 4096)) 4096
        done
    """)


def test_a_cut_connection_is_taken_up_again(guest: Guest) -> None:
    # the server keeps the old connection of the session until the new login reinstates it
    guest.run("""
        login
        disk=$(disk 0)
        interface=$(argument interface); gateway=$(argument gateway)
        dd if=/dev/urandom of=/tmp/data bs=1M count=24 2>/dev/null
        dd if=/tmp/data of=$disk bs=256k oflag=direct conv=fsync 2>/dev/null &
        writer=$!
        sleep 0.1
        ip link set $interface down
        sleep 6
        ip link set $interface up
        ip route add 127.0.0.1/32 via $gateway dev $interface src $(argument address | cut -d/ -f1)
        wait $writer
        dd if=$disk bs=1M count=24 iflag=direct 2>/dev/null | cmp - /tmp/data
        dmesg | grep -q 'detected conn error'
    """)
