"""Tests that QEMU's iSCSI driver can write, read, discard and compare."""

import random
from pathlib import Path

import pytest

from tests.interop.conftest import LUNS_512_AND_4096, Start
from tests.interop.programs import attempt, run
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-qemu")]

LUN_BYTES = 64 << 20
MIB = 1 << 20
PAIRS = ((0, 1), (2, 3))
"""Pairs of LUNs with the same block size, one pair with 512 bytes and one with 4096 bytes."""


@pytest.fixture(scope="module")
def image(module_path: Path) -> Path:
    """Path of an image as large as a LUN, with random data and holes of every size."""
    path = module_path / "image.raw"
    source = random.Random(1)
    with path.open("wb") as file:
        file.truncate(LUN_BYTES)
        for _ in range(200):
            file.seek(source.randrange(LUN_BYTES // 4096) * 4096)
            file.write(source.randbytes(min(source.randrange(1, 64) * 4096, LUN_BYTES - file.tell())))
    return path


@pytest.mark.parametrize(("lun", "other"), PAIRS)
def test_an_image_goes_in_and_comes_out_again(served: Served, image: Path, tmp_path: Path, lun: int, other: int) -> None:
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, served.url(lun))
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, served.url(lun))
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", served.url(lun), tmp_path / "out.raw")
    assert (tmp_path / "out.raw").read_bytes() == image.read_bytes()
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", served.url(lun), served.url(other))
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", served.url(lun), served.url(other))


@pytest.mark.parametrize(("lun", "other"), PAIRS)
def test_the_array_copies_for_qemu(start: Start, image: Path, tmp_path: Path, lun: int, other: int) -> None:
    """With -C, QEMU copies by EXTENDED COPY. If a command failed, QEMU would copy by reads and writes."""
    trace = tmp_path / "trace"
    served = start(LUNS_512_AND_4096, options=("--trace", str(trace)))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, served.url(lun))
    run("qemu-img", "convert", "-n", "-C", "-f", "raw", "-O", "raw", served.url(lun), served.url(other))
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, served.url(other))
    assert served.stop() == 0
    lines = trace.read_text().splitlines()
    assert any("| EXTENDED COPY (LID1)" in line for line in lines)
    assert not any("COPY ABORTED" in line.upper() for line in lines)
    large_writes = [line for line in lines if f"LUN={other} " in line and "| WRITE(" in line]
    assert not large_writes, "no data went through the host"


@pytest.mark.parametrize("cache", ["writeback", "none", "writethrough"])
@pytest.mark.parametrize("lun", [0, 2])
def test_patterns_written_are_the_patterns_read(served: Served, lun: int, cache: str) -> None:
    printed = _io(
        served,
        lun,
        "write -P 0xa5 0 1M",
        "write -P 0x5a 1M 64k",
        "flush",
        "read -P 0xa5 0 1M",
        "read -P 0x5a 1M 64k",
        "write -P 0x11 4096 4096",
        "read -P 0xa5 0 4096",
        "read -P 0x11 4096 4096",
        "read -P 0xa5 8192 4096",
        "aio_write -P 0x21 2M 1M",
        "aio_write -P 0x22 3M 1M",
        "aio_write -P 0x23 4M 1M",
        "aio_flush",
        "read -P 0x21 2M 1M",
        "read -P 0x22 3M 1M",
        "read -P 0x23 4M 1M",
        cache=cache,
    )
    assert "Pattern verification failed" not in printed


def test_single_sectors_within_a_store_block(served: Served) -> None:
    writes = [f"write -P {sector + 1} {8192 + 512 * sector} 512" for sector in range(24)]
    reads = [f"read -P {sector + 1} {8192 + 512 * sector} 512" for sector in range(24)]
    _io(served, 0, "write -P 0xee 0 64k", *writes, *reads, "read -P 0xee 0 8192", "read -P 0xee 20480 8192")


@pytest.mark.parametrize("lun", [1, 3])
def test_discarded_and_zeroed_ranges_read_as_zeros(served: Served, lun: int) -> None:
    _io(
        served,
        lun,
        "write -P 0x77 0 8M",
        "discard 1M 2M",
        "write -z 4M 1M",
        "write -z -u 5M 1M",
        "write -z -u 6332416 12288",
        f"read -P 0x77 {0} {MIB}",
        f"read -P 0 {MIB} {2 * MIB}",
        f"read -P 0x77 {3 * MIB} {MIB}",
        f"read -P 0 {4 * MIB} {2 * MIB}",
        f"read -P 0x77 {6 * MIB} {40_960}",
        f"read -P 0 {6_332_416} {12_288}",
        f"read -P 0x77 {6_344_704} {4096}",
        "write -P 0x78 1M 1M",
        f"read -P 0x78 {MIB} {MIB}",
        f"read -P 0 {2 * MIB} {MIB}",
    )


def test_holes_are_told_as_holes(start: Start) -> None:
    served = start(("thin=64M",))
    _io(served, 0, "write -P 1 0 1M", "write -P 2 32M 1M")
    printed = run("qemu-img", "map", "--output=json", "-f", "raw", served.url(0))
    assert '"length": 1048576' in printed
    assert '"zero": true, "data": false' in printed


def test_a_lun_that_does_not_exist_is_refused_and_others_stay(served: Served) -> None:
    assert attempt("qemu-img", "info", "-f", "raw", served.url(77)).returncode != 0
    run("qemu-img", "info", "-f", "raw", served.url(0))


def test_bench_writes_at_depth(served: Served) -> None:
    printed = run("qemu-img", "bench", "-w", "-c", "2000", "-d", "32", "-s", "4096", "-t", "none", "-f", "raw", served.url(1))
    assert "Run completed" in printed


def _io(served: Served, lun: int, *commands: str, cache: str = "none") -> str:
    words = [word for command in commands for word in ("-c", command)]
    printed = run("qemu-io", "-f", "raw", "-t", cache, "-d", "unmap", *words, served.url(lun))
    assert "failed" not in printed, printed
    return printed
