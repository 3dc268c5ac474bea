import shutil
import subprocess

import pytest

from odx_target.scsi.commands.inquiry import StandardInquiryData
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.scsi.pages.version_descriptors import CLAIMED, MANDATORY_OPERATION_CODES, STANDARDS
from odx_target.scsi.unit.logical_unit import naa_designator
from tests.scsi.array import TARGET_NAME, UnitUnderTest, code_of, data_of

PAGES = (0x00, 0x80, 0x83, 0x86, 0xB0, 0xB1, 0xB2)


def page(unit, page_code):
    return data_of(unit.command(bytes((0x12, 1, page_code, 1, 0, 0))))


def test_standard_data_tells_what_the_unit_is():
    unit = UnitUnderTest()
    data = data_of(unit.command("12 00 00 00 ff 00"))
    fields = StandardInquiryData.parse(data)
    assert len(data) == 96
    assert fields.additional_length == 91
    assert (fields.peripheral_qualifier, fields.peripheral_device_type) == (0, 0)
    assert (fields.version, fields.response_data_format, fields.hisup, fields.cmdque) == (6, 2, 1, 1)
    assert fields.third_party_copy == 0
    assert fields.version_descriptors == (0x00A0, 0x0460, 0x04C0, 0x0960, 0, 0, 0, 0)


def test_a_standard_is_claimed_if_and_only_if_all_its_mandatory_commands_are_there():
    commands = {row.operation_code for row in UnitUnderTest().server.commands.rows()}
    for standard, mandatory in MANDATORY_OPERATION_CODES.items():
        assert (standard in CLAIMED) == (mandatory <= commands), STANDARDS[standard]


def test_third_party_copy_shows_once_a_copy_manager_is_there():
    unit = UnitUnderTest()
    unit.logical_unit.third_party_copy = True
    assert data_of(unit.command("12 00 00 00 ff 00"))[5] == 0x08


@pytest.mark.parametrize("allocation_bytes", [0, 1, 5, 36, 95, 96, 97, 255])
def test_the_allocation_length_cuts_the_data_and_nothing_else(allocation_bytes):
    unit = UnitUnderTest()
    whole = data_of(unit.command("12 00 00 00 ff 00"))
    reply = unit.command(bytes((0x12, 0, 0, 0, allocation_bytes, 0)))
    assert data_of(reply) == whole[:allocation_bytes]
    assert reply.transfer_bytes == min(allocation_bytes, 96)


def test_a_lun_without_logical_unit_has_a_qualifier_that_says_so():
    unit = UnitUnderTest()
    assert data_of(unit.command("12 00 00 00 24 00", lun=7))[0] == 0x7F
    assert data_of(unit.command("12 01 00 00 ff 00", lun=7)) == bytes.fromhex("7f 00 00 01 00")
    assert code_of(unit.command("12 01 83 00 ff 00", lun=7)) == (5, 0x24, 0)


def test_the_page_list_is_ascending_and_complete():
    unit = UnitUnderTest()
    assert page(unit, 0) == bytes((0, 0, 0, len(PAGES), *PAGES))
    unit.logical_unit.added_vpd_pages[0x8F] = lambda *_: bytes.fromhex("008f0000")
    assert page(unit, 0)[4:] == bytes((0x00, 0x80, 0x83, 0x86, 0x8F, 0xB0, 0xB1, 0xB2))
    assert page(unit, 0x8F) == bytes.fromhex("008f0000")


def test_every_page_states_its_code_and_length():
    unit = UnitUnderTest()
    for page_code in PAGES:
        data = page(unit, page_code)
        assert data[:2] == bytes((0, page_code))
        assert int.from_bytes(data[2:4], "big") == len(data) - 4


def test_the_identity_is_naa_6_and_depends_on_the_volume_alone():
    identity = naa_designator(bytes(16))
    assert len(identity) == 16
    assert identity[0] >> 4 == 6
    assert identity == naa_designator(bytes(16))
    assert identity != naa_designator(bytes(15) + b"\1")
    company = int.from_bytes(identity[:4], "big") >> 4 & 0xFFFFFF
    assert company >> 16 & 0x03 == 0x02, "locally administered, and no group address"


def designators(data):
    found, position = {}, 4
    while position < len(data):
        header = vpd.DesignatorHeader.parse(data[position:])
        position += 4
        key = header.association, header.designator_type
        found[key] = data[position : position + header.designator_length]
        position += header.designator_length
    return found


def test_the_designators_name_unit_port_and_device():
    unit = UnitUnderTest()
    found = designators(page(unit, 0x83))
    assert found[0, 3] == unit.logical_unit.identity
    assert found[0, 1] == b"ODX     " + unit.logical_unit.serial_number.encode()
    assert found[1, 4] == bytes.fromhex("00000001")
    assert found[1, 5] == bytes.fromhex("00000001")
    assert found[1, 8].rstrip(b"\0").decode() == f"{TARGET_NAME},t,0x0001"
    assert found[2, 8].rstrip(b"\0").decode() == TARGET_NAME
    assert not any(len(designator) % 4 for (_, kind), designator in found.items() if kind == 8)


@pytest.mark.parametrize(("block_bytes", "per_4k", "maximum"), [(512, 8, 32768), (4096, 1, 4096)])
def test_block_limits_are_in_logical_blocks(block_bytes, per_4k, maximum):
    fields = vpd.BlockLimits.parse(page(UnitUnderTest(block_bytes), 0xB0)[4:])
    assert fields.wsnz == 1
    assert fields.optimal_transfer_length_granularity == per_4k
    assert fields.maximum_transfer_length == maximum
    granularity = {512: (8, 1), 4096: (0, 0)}[block_bytes]
    assert (fields.optimal_unmap_granularity, fields.ugavalid) == granularity
    assert fields.unmap_granularity_alignment == 0
    assert fields.maximum_unmap_block_descriptor_count == 255


def test_provisioning_and_read_capacity_agree():
    unit = UnitUnderTest()
    fields = vpd.LogicalBlockProvisioning.parse(page(unit, 0xB2)[4:])
    assert (fields.lbpu, fields.lbpws, fields.lbprz, fields.anc_sup, fields.provisioning_type) == (1, 1, 1, 0, 2)
    assert data_of(unit.command("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00"))[14] == 0xC0


@pytest.mark.parametrize("write_cache_enabled", [True, False])
def test_the_extended_page_tells_of_a_volatile_cache_whether_it_is_enabled_or_not(write_cache_enabled):
    unit = UnitUnderTest(write_cache_enabled=write_cache_enabled)
    data = page(unit, 0x86)
    assert (len(data), data[5] & 7, data[6] & 1) == (64, 7, 1)


@pytest.mark.skipif(shutil.which("sg_vpd") is None, reason="sg_vpd of sg3-utils is not installed")
@pytest.mark.parametrize("page_code", PAGES)
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_sg_vpd_reads_every_page_without_complaint(page_code, block_bytes):
    text = read_with("sg_vpd", page(UnitUnderTest(block_bytes), page_code), f"--page={page_code:#x}")
    text = text.replace("granularity alignment: 0 [invalid]", "")  # no granularity, so no alignment, and UGAVALID is 0
    for complaint in ("too short", "invalid", "unknown", "not understood", "bad", "<<"):
        assert complaint not in text.lower()


@pytest.mark.skipif(shutil.which("sg_inq") is None, reason="sg_inq of sg3-utils is not installed")
def test_sg_inq_reads_the_standard_data():
    text = read_with("sg_inq", data_of(UnitUnderTest().command("12 00 00 00 ff 00")), "--descriptors")
    for words in ("SPC-4", "Vendor identification: ODX", "SAM-5", "SBC-3", "iSCSI", "CmdQue=1", "HiSUP=1"):
        assert words in text


def read_with(program, data, *options):
    arguments = [program, "--inhex=-", *options]
    done = subprocess.run(arguments, input=data.hex(" "), capture_output=True, text=True, check=True, timeout=20)
    assert not done.stderr
    return done.stdout
