"""Tests that the small programs of libiscsi find the array and print its properties correctly."""

import pytest

from tests.interop.conftest import Login
from tests.interop.libiscsi import HeaderDigest
from tests.interop.programs import attempt, run
from tests.interop.serving import IQN, Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-programs")]

SIZE_BYTES = 64 << 20

VPD_PAGES = {
    # page: output of iscsi-inq
    0x00: "Page:0x8f",
    0x80: "Unit Serial Number:[",
    0x83: "Designator Type:(3) NAA",
    0xB0: "maximum unmap lba count:",
    0xB1: "Medium Rotation Rate:",
    0xB2: "lbpu:1",
}


def test_iscsi_ls_lists_the_target_and_its_luns(served: Served) -> None:
    printed = run("iscsi-ls", "-s", served.url())
    assert f"Target:{IQN} Portal:{served.portal},1" in printed
    for lun in range(4):
        assert (
            f"Lun:{lun}    Type:DIRECT_ACCESS (Size:64M)" in printed or f"Lun:{lun}    Type:DIRECT_ACCESS (Size:63M)" in printed
        )


def test_iscsi_inq_prints_the_standard_data(served: Served) -> None:
    printed = run("iscsi-inq", served.url(0))
    for line in ("Peripheral Device Type:DIRECT_ACCESS", "Removable:0", "HiSup:1", "ReponseDataFormat:2", "3PC:1", "CmdQue:1"):
        assert line in printed


@pytest.mark.parametrize("lun", [0, 2])
@pytest.mark.parametrize("page", VPD_PAGES, ids=hex)
def test_iscsi_inq_decodes_the_vital_product_data_page(served: Served, lun: int, page: int) -> None:
    printed = run("iscsi-inq", "-e", "1", "-c", str(page), served.url(lun))
    assert VPD_PAGES[page] in printed
    assert "failed" not in printed.lower()


def test_iscsi_inq_gets_the_page_about_third_party_copy(served: Served) -> None:
    # iscsi-inq reports that it cannot decode this page; a refusal by the array would have another message.
    ended = attempt("iscsi-inq", "-e", "1", "-c", str(0x8F), served.url(0))
    assert "failed to unmarshall inquiry datain blob" in ended.stdout


@pytest.mark.parametrize(("lun", "block_bytes"), [(0, 512), (2, 4096)])
def test_iscsi_readcapacity16_agrees_about_the_size(served: Served, lun: int, block_bytes: int) -> None:
    printed = run("iscsi-readcapacity16", served.url(lun))
    assert f"RETURNED LOGICAL BLOCK ADDRESS:{SIZE_BYTES // block_bytes - 1}\n" in printed
    assert f"LOGICAL BLOCK LENGTH IN BYTES:{block_bytes}\n" in printed
    assert f"Total size:{SIZE_BYTES}\n" in printed
    assert "LBPME:1 LBPRZ:1" in printed
    assert run("iscsi-readcapacity16", "-s", served.url(lun)).strip() == str(SIZE_BYTES)


@pytest.mark.parametrize("digest", HeaderDigest)
def test_header_digests_are_negotiated_as_offered(served: Served, login: Login, digest: HeaderDigest) -> None:
    session = login(served, 0, header_digest=digest)
    assert session.execute(0, bytes.fromhex("28000000000000000100"), data_in_bytes=512).outcome == "good"


@pytest.mark.parametrize("immediate_data", [False, True])
@pytest.mark.parametrize("initial_r2t", [False, True])
@pytest.mark.parametrize("digest", [HeaderDigest.NONE, HeaderDigest.CRC32C])
def test_data_arrives_however_it_is_sent(
    served: Served, login: Login, immediate_data: bool, initial_r2t: bool, digest: HeaderDigest
) -> None:
    session = login(served, 1, immediate_data=immediate_data, initial_r2t=initial_r2t, header_digest=digest)
    for count in (1, 3, 100, 2048):
        data = bytes((count + block) & 0xFF for block in range(count) for _ in range(512))
        length = count.to_bytes(2, "big").hex()
        assert session.execute(1, bytes.fromhex(f"2a000000100000{length}00"), data_out=data).outcome == "good"
        result = session.execute(1, bytes.fromhex(f"28000000100000{length}00"), data_in_bytes=len(data))
        assert result.data_in == data


def test_two_initiators_share_a_lun(served: Served, login: Login) -> None:
    one = login(served, 1)
    other = login(served, 1, name="iqn.2026-11.example:other")
    assert one.execute(1, bytes.fromhex("2a000000000500000100"), data_out=b"1" * 512).outcome == "good"
    assert other.execute(1, bytes.fromhex("28000000000500000100"), data_in_bytes=512).data_in == b"1" * 512
    one.close()
    assert other.execute(1, bytes(6)).outcome == "good"


def test_a_test_unit_ready_that_expects_data_keeps_its_connection(served: Served, login: Login) -> None:
    session = login(served, 0)
    result = session.execute(0, bytes(6), data_in_bytes=512)
    assert (result.outcome, result.residual_bytes) == ("good", 512)
    assert session.execute(0, bytes(6)).outcome == "good"
