"""Tests of discovery, login, negotiated keys and failing sessions."""

from pathlib import Path

import pytest

from tests.interop.conftest import Start
from tests.interop.guest.conftest import LUNS, START_LIO, Boot, Guest
from tests.interop.serving import IQN

pytestmark = pytest.mark.interop

WRITE_AND_COMPARE = """
disk=$(disk $lun)
dd if=/dev/urandom of=/tmp/data bs=1M count=6 2>/dev/null
dd if=/tmp/data of=$disk bs=4096 count=16 oflag=direct 2>/dev/null
dd if=/tmp/data of=$disk bs=1M oflag=direct conv=fsync 2>/dev/null
blockdev --flushbufs $disk
dd if=$disk bs=1M count=6 iflag=direct 2>/dev/null | alike /tmp/data
"""

OFFERS = {
    # offered keys: (lines of the script, expected result of the negotiation)
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


@pytest.mark.witnessed
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
            dd if=/dev/urandom of=/tmp/data bs=1M count=2 2>/dev/null
            dd if=/tmp/data of=$1 bs=1M count=1 seek=$((turn * 2)) oflag=direct conv=notrunc 2>/dev/null & first=$!
            dd if=/tmp/data of=$2 bs=1M skip=1 count=1 seek=$((turn * 2 + 1)) oflag=direct conv=notrunc 2>/dev/null & second=$!
            wait $first; wait $second
            for disk in $1 $2; do content $disk $((turn * 4096)) 4096 | alike /tmp/data; done
        done
    """)


def test_a_cut_connection_is_taken_up_again(guest: Guest) -> None:
    # The server keeps the old connection until the new login reinstates the session.
    guest.run("""
        discover >/dev/null
        connection_key timeo.noop_out_interval 1
        connection_key timeo.noop_out_timeout 2  # a cut is seen by a ping that is not answered
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
        dd if=$disk bs=1M count=24 iflag=direct 2>/dev/null | alike /tmp/data
        dmesg | grep -q 'detected conn error'
    """)


# CHAP

USER, SECRET = "host", "secret-of-host"
TARGET_USER, TARGET_SECRET = "array", "secret-of-array"
REFUSED = 24
"""Exit status of iscsiadm if the target refuses a login because of failed authorization."""
NOT_BELIEVED = 19
"""Exit status of iscsiadm if the initiator gives up, here because the target could not prove itself."""

NEW_NODE = "node -o new >/dev/null\n"
NO_SESSION = '[ -z "$(ls /sys/class/iscsi_session)" ]\n'


@pytest.fixture
def chap_guest(boot_guest: Boot, start: Start, array: str, tmp_path: Path) -> Guest:
    """A guest, and a target that accepts only initiators with SECRET and proves itself with TARGET_SECRET."""
    if array == "LIO":
        witness = boot_guest(name="witness-chap")
        witness.prelude = f"{START_LIO}lio_chap {USER} {SECRET} {TARGET_USER} {TARGET_SECRET}\n"
        return witness
    for name, secret in ((USER, SECRET), (TARGET_USER, TARGET_SECRET)):
        (tmp_path / name).write_text(f"{secret}\n")
        (tmp_path / name).chmod(0o600)
    options = ["--chap-user", USER, "--chap-secret-file", str(tmp_path / USER)]
    options += ["--target-chap-user", TARGET_USER, "--target-chap-secret-file", str(tmp_path / TARGET_USER)]
    return boot_guest(start(LUNS, options=(*options, "--trace", str(tmp_path / "trace"))))


PROVED = {"one way": f"{USER} {SECRET}", "mutual": f"{USER} {SECRET} {TARGET_USER} {TARGET_SECRET}"}


@pytest.mark.witnessed
@pytest.mark.parametrize("way_of_chap", PROVED)
def test_chap(chap_guest: Guest, way_of_chap: str) -> None:
    chap_guest.run(f"{NEW_NODE}chap {PROVED[way_of_chap]}\nlogin; lun=0{WRITE_AND_COMPARE}logout")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA1", "SHA256", "SHA3-256"])
def test_chap_algorithm(chap_guest: Guest, algorithm: str, tmp_path: Path) -> None:
    numbers = {"MD5": 5, "SHA1": 6, "SHA256": 7, "SHA3-256": 8}
    chap_guest.run(f"""{NEW_NODE}
        chap {PROVED["mutual"]}
        key auth.chap_algs {algorithm}
        login; logout
    """)
    assert chap_guest.served is not None
    assert chap_guest.served.stop() == 0  # The thread that writes the trace ends with the server.
    assert f"| CHAP_A={numbers[algorithm]} CHAP_I=" in (tmp_path / "trace").read_text()


UNPROVED = {
    # error: (credentials, exit status)
    "no credentials": ("", REFUSED),
    "wrong secret": (f"{USER} secret-of-nobody", REFUSED),
    "wrong user": (f"nobody {SECRET}", REFUSED),
    "wrong secret of the target": (f"{USER} {SECRET} {TARGET_USER} secret-of-another", NOT_BELIEVED),
    "wrong user of the target": (f"{USER} {SECRET} another {TARGET_SECRET}", NOT_BELIEVED),
}


@pytest.mark.witnessed
@pytest.mark.parametrize("wrong", UNPROVED)
def test_chap_fails(chap_guest: Guest, wrong: str) -> None:
    credentials, status = UNPROVED[wrong]
    chap = f"chap {credentials}\n" if credentials else ""
    chap_guest.run(f"{NEW_NODE}{chap}expect {status} node --login\n{NO_SESSION}")


def test_chap_for_discovery(chap_guest: Guest) -> None:
    assert chap_guest.served is not None
    for credentials in PROVED.values():
        assert chap_guest.run(f"discover_by_chap {credentials}").split() == [f"{chap_guest.served.portal},1", IQN]
        chap_guest.run(f"chap {credentials}; login; logout; discovery -o delete")
    for credentials, status in filter(lambda row: row[0], UNPROVED.values()):
        chap_guest.run(f"expect {status} discover_by_chap {credentials}; discovery -o delete")
    chap_guest.run(f"expect {REFUSED} discover")
