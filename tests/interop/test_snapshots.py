"""Tests that programs of libiscsi and QEMU use LUNs above 255, and see the data of clones and restored LUNs."""

from pathlib import Path

import pytest

from odx_target.target.control.client import request
from tests.interop.programs import run
from tests.interop.serving import serve

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-snapshots")]

CLONES = 300
FLAT_SPACE = 0x4000
"""Programs of libiscsi take the whole 16 bits of a LUN field in their URLs, with the addressing method."""


def test_clones_above_lun_255_have_the_data_of_their_snapshot(tmp_path: Path) -> None:
    served = serve(tmp_path / "pool", ("a=4M",), log_path=tmp_path / "log")
    try:
        run("qemu-io", "-f", "raw", "-c", "write -P 1 0 1M", served.url(0))
        request(tmp_path / "pool", "snapshot-create", {"snapshots": ["a@s"]})
        run("qemu-io", "-f", "raw", "-c", "write -P 2 0 1M", served.url(0))
        request(tmp_path / "pool", "clone", {"origin": "a@s", "name": "vm-{}", "count": CLONES, "lun": True})
        printed = run("iscsi-ls", "-s", served.url())
        assert printed.count("Lun:") == CLONES + 1
        assert f"Lun:{FLAT_SPACE + CLONES}" in printed
        for lun in (1, 255, FLAT_SPACE + 256, FLAT_SPACE + CLONES):
            assert "failed" not in run("qemu-io", "-f", "raw", "-c", "read -P 1 0 1M", served.url(lun))
        request(tmp_path / "pool", "snapshot-restore", {"snapshot": "a@s"})
        assert "failed" not in run("qemu-io", "-f", "raw", "-c", "read -P 1 0 1M", served.url(0))
    finally:
        served.kill()
