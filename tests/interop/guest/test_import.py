"""A LUN of the kernel's own target (LIO) is imported, while the target is cut off and the array is killed."""

import random
from pathlib import Path

import pytest

from tests.interop.blocks import read_blocks, write_blocks
from tests.interop.conftest import Login, Start
from tests.interop.guest.conftest import START_LIO, Boot
from tests.interop.imports import imported, typed, until

pytestmark = pytest.mark.interop

SIZE_BYTES = 64 << 20
TIMEOUT_S = 120
ENABLE = "/sys/kernel/config/target/iscsi/$target/tpgt_1/enable"


def content() -> bytearray:
    """Return random bytes at the beginning, in the middle and at the end of a LUN of LIO, whose memory is small."""
    found = bytearray(SIZE_BYTES)
    for at, count_bytes in ((0, 5 << 20), (40 << 20, 4 << 20), (SIZE_BYTES - (1 << 20), 1 << 20)):
        found[at : at + count_bytes] = random.Random(at).randbytes(count_bytes)
    return found


@pytest.mark.parametrize(("lun", "block_bytes"), [(0, 512), (2, 4096)])
def test_a_lun_of_the_kernel_s_target_is_imported(
    boot_guest: Boot, start: Start, login: Login, tmp_path: Path, way: str, lun: int, block_bytes: int
) -> None:
    if way != "uml":
        pytest.skip("the host reaches only the network of User-mode-linux")
    expected, pool = content(), tmp_path / "pool"
    witness = boot_guest(name="witness")
    witness.prelude = START_LIO
    (witness.share / "content").write_bytes(expected)
    printed = witness.run(
        """truncate -s 0 /witness/$lun; truncate -s 64M /witness/$lun
        dd if=/share/content of=/witness/$lun bs=1M conv=notrunc,sparse 2>/dev/null; echo $portal $target""",
        lun=lun,
    )
    portal, target = printed.split()
    url = f"iscsi://{portal}/{target}/{lun}"
    served = start(("first=1M",))
    begun = typed("start", pool, url, "moved", "--rate", "4M", "--verify")
    assert begun == f"LUN 1: moved, {SIZE_BYTES} bytes; the copy of {url} has begun\n"
    session = login(served, 1)
    at = 40 << 20
    assert read_blocks(session, 1, at // block_bytes, 8, block_bytes) == expected[at : at + 8 * block_bytes]
    expected[at + 4096 : at + 12288] = b"w" * 8192
    write_blocks(session, 1, (at + 4096) // block_bytes, b"w" * 8192, block_bytes)

    witness.run(f"echo 0 >{ENABLE}")
    until(pool, lambda row: row["state"] == "waiting", TIMEOUT_S)
    assert imported(pool)["missing_bytes"] > 1 << 20
    assert read_blocks(session, 1, at // block_bytes, 8, block_bytes) == expected[at : at + 8 * block_bytes]
    served.kill()
    served = start(portal=served.portal)
    until(pool, lambda row: row["state"] == "waiting", TIMEOUT_S)
    witness.run(f"echo 1 >{ENABLE}")
    left_bytes = imported(pool)["missing_bytes"] or SIZE_BYTES
    until(pool, lambda row: row["state"] == "copying" and (row["missing_bytes"] or SIZE_BYTES) < left_bytes, TIMEOUT_S)
    served.kill()
    served = start(portal=served.portal)
    typed("rate", pool, "moved", "1G")
    until(pool, lambda row: row["state"] == "finished", TIMEOUT_S)
    assert imported(pool)["different"]["bytes"] == 0
    witness.run(f"echo 0 >{ENABLE}")
    session = login(served, 1)
    assert read_blocks(session, 1, 0, SIZE_BYTES // block_bytes, block_bytes) == bytes(expected)
    witness.run(f"echo 1 >{ENABLE}")
