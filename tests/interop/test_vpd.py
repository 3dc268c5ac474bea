"""Tests that sg3_utils decodes the VPD and mode pages of a LUN without complaint."""

import re
from pathlib import Path

import pytest

from tests.interop.conftest import Login
from tests.interop.programs import run
from tests.interop.serving import Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-programs")]

COMPLAINTS = re.compile(
    r"malform|unexpect|truncat|invalid|too short|too long|warn|error|\?\?|fail|not long enough|out of bounds|overflow|bad ",
    re.IGNORECASE,
)
NOT_COMPLAINTS = re.compile(  # UGAVALID is 0 in pages with an invalid alignment
    r"Write corrections|error recovery|Uncorrectable error|granularity alignment: 0 \[invalid\]|copy failure details",
    re.IGNORECASE,
)

PAGES = {
    # page: (acronym in sg_vpd, lines that the output must contain)
    0x00: ("sv", ["[sv]", "[sn]", "[di]", "[ei]", "[tpc]", "[bl]", "[bdc]", "[lbpv]"]),
    0x80: ("sn", ["Unit serial number:"]),
    0x83: ("di", ["designator type: NAA", "iqn.2026-11.io.odx-target:array"]),
    0x86: ("ei", ["SIMPSUP=1"]),
    0x8F: ("tpc", ["Block Device ROD Token Limits", "Maximum Range Descriptors: 64", "Supported Commands"]),
    0xB0: ("bl", ["Maximum unmap LBA count:"]),
    0xB1: ("bdc", ["Non-rotating medium"]),
    0xB2: ("lbpv", ["Unmap command supported (LBPU): 1", "Provisioning type: 2"]),
}


@pytest.mark.parametrize("lun", [0, 2])
@pytest.mark.parametrize("page", PAGES, ids=hex)
def test_sg_vpd_decodes_the_page(served: Served, login: Login, tmp_path: Path, page: int, lun: int) -> None:
    session = login(served, lun)
    result = session.execute(lun, bytes([0x12, 1, page, 0x04, 0, 0]), data_in_bytes=1024)
    assert result.outcome == "good"
    assert len(result.data_in) == 4 + int.from_bytes(result.data_in[2:4], "big")
    acronym, expected = PAGES[page]
    printed = run("sg_vpd", "--page", acronym, "--raw", "--inhex", _file(tmp_path, result.data_in))
    for line in expected:
        assert line.lower() in printed.lower()
    _assert_no_complaint(printed)


def test_sg_inq_decodes_the_standard_data(served: Served, login: Login, tmp_path: Path) -> None:
    session = login(served, 0)
    result = session.execute(0, bytes.fromhex("12000000ff00"), data_in_bytes=255)
    printed = run("sg_inq", "--raw", "--inhex", _file(tmp_path, result.data_in))
    assert "3PC=1" in printed
    assert "CmdQue=1" in printed
    _assert_no_complaint(printed)


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "page.bin"
    path.write_bytes(data)
    return path


def _assert_no_complaint(printed: str) -> None:
    complaints = [line for line in printed.splitlines() if COMPLAINTS.search(line) and not NOT_COMPLAINTS.search(line)]
    assert not complaints, printed
