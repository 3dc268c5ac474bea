"""The start of a disk: its properties, and the questions that decide its hardware acceleration state before the first copy."""

from odx_target.initiator import cdb, inquiry
from odx_target.initiator.disk import SMALL_ALLOCATION_BYTES, CommandFailed
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.esxi.disk import EsxiDisk
from odx_target.initiator.esxi.operating_parameters import ALLOCATION_BYTES, read_operating_parameters
from odx_target.initiator.esxi.rules import Rule
from odx_target.initiator.sense import SenseKey

PAGE_ALLOCATION_BYTES = 255
DESIGNATOR_TYPE_BYTE = 1
NAA = 3
MAX_DESIGNATOR_BYTES = 20
"""Maximum length of a designator in an identification descriptor of EXTENDED COPY (SPC-4 6.4.5.4)."""


async def start(disk: EsxiDisk) -> None:
    """Read the properties of a disk. Raises InitiatorError if it is no usable disk."""
    unit = disk.unit
    answer = await unit.read("INQUIRY", cdb.inquiry(SMALL_ALLOCATION_BYTES), SMALL_ALLOCATION_BYTES)
    standard = inquiry.read_standard_inquiry(answer)
    if standard.qualifier or standard.device_type != inquiry.DIRECT_ACCESS:
        raise BadAnswer(f"{disk.name}: no disk there (device type {standard.device_type:02X}h, qualifier {standard.qualifier})")
    listed = await _read_page(disk, inquiry.SUPPORTED_PAGES)
    if inquiry.DEVICE_IDENTIFICATION in listed:
        disk.designator = _naa(await _read_page(disk, inquiry.DEVICE_IDENTIFICATION))
    if inquiry.BLOCK_LIMITS in listed:
        unit.block_limits = inquiry.read_block_limits(await _read_page(disk, inquiry.BLOCK_LIMITS))
    await unit.read("TEST UNIT READY", cdb.test_unit_ready(), 0)
    await _read_capacity(disk)
    await _ask_for_acceleration(disk, third_party_copy=standard.third_party_copy)
    disk.host.remark(disk.name, disk.acceleration_words)


async def _ask_for_acceleration(disk: EsxiDisk, *, third_party_copy: bool) -> None:
    """Find out which primitives the disk reports. The states of the other primitives stay unknown."""
    if not disk.unit.block_limits.max_compare_and_write_blocks:
        disk.ats.set_absent()
        disk.find(Rule.NO_ATS)
    if not third_party_copy:
        disk.clone.set_absent()
        disk.find(Rule.NO_COPY)
    elif not disk.designator:
        disk.clone.set_absent()
        disk.find(Rule.NO_NAA)
    else:
        await _read_parameters(disk)


async def _read_parameters(disk: EsxiDisk) -> None:
    command = cdb.receive_copy_operating_parameters(ALLOCATION_BYTES)
    try:
        data = await disk.unit.read("RECEIVE COPY OPERATING PARAMETERS", command, ALLOCATION_BYTES)
        disk.parameters = read_operating_parameters(data)
    except (CommandFailed, BadAnswer) as failure:
        disk.find(Rule.NO_PARAMETERS, str(failure))
        return
    disk.host.remark(disk.name, str(disk.parameters))


async def _read_capacity(disk: EsxiDisk) -> None:
    """Read the capacity by READ CAPACITY (10), or by READ CAPACITY (16) if the disk is too large for the former."""
    capacity = inquiry.read_capacity_10(await disk.unit.read("READ CAPACITY (10)", cdb.read_capacity_10(), 8))
    if capacity.capacity_blocks >= cdb.TEN_BYTE_LBA_LIMIT:
        capacity = inquiry.read_capacity_16(await disk.unit.read("READ CAPACITY (16)", cdb.read_capacity_16(), 32))
    disk.unit.capacity_blocks, disk.unit.block_bytes = capacity.capacity_blocks, capacity.block_bytes


async def _read_page(disk: EsxiDisk, page: int) -> bytes:
    """Return the body of a page; b"" if the target refuses the page."""
    command, name = cdb.inquiry(PAGE_ALLOCATION_BYTES, page), f"INQUIRY of page {page:02X}h"
    try:
        return inquiry.read_page(await disk.unit.read(name, command, PAGE_ALLOCATION_BYTES), page)
    except CommandFailed as failure:
        if failure.sense is None or failure.sense.key != SenseKey.ILLEGAL_REQUEST:
            raise
        return b""


def _naa(page: bytes) -> bytes:
    """Return the NAA designation descriptor of the logical unit in VPD page 83h; b"" if there is none that fits."""
    descriptor = inquiry.read_identity(page)
    is_naa = descriptor and descriptor[DESIGNATOR_TYPE_BYTE] & 0x0F == NAA
    return descriptor if is_naa and 0 < len(descriptor) - 4 <= MAX_DESIGNATOR_BYTES else b""
