"""The checks of `multipath.sh` fail for what they look for. They run here without a guest, with the shell of this machine."""

import subprocess
from pathlib import Path

import pytest

MULTIPATH = Path(__file__).parent / "guest" / "files" / "multipath.sh"
HARMLESS = """\
connection1:0: detected conn error (1020)
sd 0:0:0:7: [sda] tag#3 UNKNOWN(0x2003) Result: hostbyte=DID_TRANSPORT_FAILFAST
"""


def passes(script: str, folder: Path, kernel_log: str = "") -> bool:
    """True if a script that may use the functions has the exit status 0. `dmesg -c` prints and empties `kernel_log`."""
    (folder / "ring").write_text(kernel_log)
    text = f"""
        set -eu
        KERNEL_LOG=kernel FOUND_RECORDS=found
        dmesg() {{ [ "$1" = -c ]; cat ring; : >ring; }}
        . {MULTIPATH}
        {script}
    """
    return subprocess.run(["sh", "-c", text], cwd=folder, capture_output=True, timeout=20, check=False).returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "I/O error, dev dm-0, sector 2048 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 2",
        "Buffer I/O error on dev dm-0, logical block 33, lost sync page write",
        "EXT4-fs error (device dm-0): ext4_journal_check_start:83: comm dd: Detected aborted journal",
        "JBD2: Error -5 detected when updating journal superblock for dm-0-8.",
        "INFO: task jbd2/dm-0-8:211 blocked for more than 120 seconds.",
    ],
)
def test_an_error_of_the_disk_is_found_also_later(tmp_path: Path, line: str) -> None:
    assert passes("no_errors", tmp_path, HARMLESS)
    assert not passes("no_errors", tmp_path, f"{HARMLESS}{line}\n")
    assert not passes("no_errors", tmp_path)


@pytest.mark.parametrize(
    ("numbers", "has_all"), [((0, 1, 2), True), ((0, 1), False), ((0, 2, 1), False), ((0, 1, 2, 3), False)]
)
def test_each_record_must_be_there(tmp_path: Path, numbers: tuple[int, ...], has_all: bool) -> None:
    records = b"".join(f"record {number}\n".encode().ljust(4096, b"\0") for number in numbers)
    (tmp_path / "records").write_bytes(records)
    assert passes("has_records records 3", tmp_path) is has_all
