"""Vital product data pages (SPC-4 7.8, SBC-4 6.6): the layouts of pages, and the functions that build pages of a logical unit.

A *builder* is a function that takes a logical unit and the target port that received the command, and returns a whole page. The
builders of other packages, such as the copy manager, are in `LogicalUnit.added_vpd_pages`.
"""

from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.limits import THRESHOLD_SET_BYTES
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.unit.logical_unit import LogicalUnit, VpdPageBuilder

SUPPORTED_PAGES = 0x00
UNIT_SERIAL_NUMBER = 0x80
DEVICE_IDENTIFICATION = 0x83
EXTENDED_INQUIRY_DATA = 0x86
BLOCK_LIMITS = 0xB0
BLOCK_DEVICE_CHARACTERISTICS = 0xB1
LOGICAL_BLOCK_PROVISIONING = 0xB2


class VpdPageHeader(Layout):
    """The header of a VPD page."""

    peripheral_qualifier: int = bits(0, 7, 3)
    peripheral_device_type: int = bits(0, 4, 5)
    page_code: int = number(1, 1)
    page_length: int = number(2, 2)


class DesignatorHeader(Layout):
    """The header of a designation descriptor."""

    protocol_identifier: int = bits(0, 7, 4)
    code_set: int = bits(0, 3, 4)
    piv: bool = flag(1, 7)
    association: int = bits(1, 5, 2)
    designator_type: int = bits(1, 3, 4)
    designator_length: int = number(3, 1)


class ExtendedInquiryData(Layout):
    """The body of the Extended INQUIRY Data page."""

    size_bytes = 60
    activate_microcode: int = bits(0, 7, 2)
    spt: int = bits(0, 5, 3)
    grd_chk: bool = flag(0, 2)
    app_chk: bool = flag(0, 1)
    ref_chk: bool = flag(0, 0)
    uask_sup: bool = flag(1, 5)
    group_sup: bool = flag(1, 4)
    prior_sup: bool = flag(1, 3)
    headsup: bool = flag(1, 2)
    ordsup: bool = flag(1, 1)
    simpsup: bool = flag(1, 0)
    wu_sup: bool = flag(2, 3)
    crd_sup: bool = flag(2, 2)
    nv_sup: bool = flag(2, 1)
    v_sup: bool = flag(2, 0)
    p_i_i_sup: bool = flag(3, 4)
    luiclr: bool = flag(3, 0)
    r_sup: bool = flag(4, 4)
    cbcs: bool = flag(4, 0)
    multi_i_t_nexus_microcode_download: int = bits(5, 3, 4)
    extended_self_test_completion_minutes: int = number(6, 2)
    poa_sup: bool = flag(8, 7)
    hra_sup: bool = flag(8, 6)
    vsa_sup: bool = flag(8, 5)
    maximum_supported_sense_data_length: int = number(9, 1)


class BlockLimits(Layout):
    """The body of the Block Limits page."""

    wsnz: bool = flag(0, 0)
    maximum_compare_and_write_length: int = number(1, 1)
    optimal_transfer_length_granularity: int = number(2, 2)
    maximum_transfer_length: int = number(4, 4)
    optimal_transfer_length: int = number(8, 4)
    maximum_prefetch_length: int = number(12, 4)
    maximum_unmap_lba_count: int = number(16, 4)
    maximum_unmap_block_descriptor_count: int = number(20, 4)
    optimal_unmap_granularity: int = number(24, 4)
    ugavalid: bool = flag(28, 7)
    unmap_granularity_alignment: int = bits(28, 6, 31)
    maximum_write_same_length: int = number(32, 8)
    maximum_atomic_transfer_length: int = number(40, 4)
    atomic_alignment: int = number(44, 4)
    atomic_transfer_length_granularity: int = number(48, 4)
    maximum_atomic_transfer_length_with_atomic_boundary: int = number(52, 4)
    maximum_atomic_boundary_size: int = number(56, 4)


class BlockDeviceCharacteristics(Layout):
    """The body of the Block Device Characteristics page."""

    size_bytes = 60
    medium_rotation_rate: int = number(0, 2)
    product_type: int = number(2, 1)
    wabereq: int = bits(3, 7, 2)
    wacereq: int = bits(3, 5, 2)
    nominal_form_factor: int = bits(3, 3, 4)
    zoned: int = bits(4, 5, 2)
    fuab: bool = flag(4, 1)
    vbuls: bool = flag(4, 0)


class LogicalBlockProvisioning(Layout):
    """The body of the Logical Block Provisioning page."""

    threshold_exponent: int = number(0, 1)
    lbpu: bool = flag(1, 7)
    lbpws: bool = flag(1, 6)
    lbpws10: bool = flag(1, 5)
    lbprz: int = bits(1, 4, 3)
    anc_sup: bool = flag(1, 1)
    dp: bool = flag(1, 0)
    minimum_percentage: int = bits(2, 7, 5)
    provisioning_type: int = bits(2, 2, 3)
    threshold_percentage: int = number(3, 1)


NON_ROTATING_MEDIUM = 1
THIN_PROVISIONED = 2
READS_AS_ZEROS = 1
READS_SUCCEED = 0b01
"""Value of WABEREQ and WACEREQ: blocks can be read after BLOCK ERASE or CRYPTOGRAPHIC ERASE without being written first."""

# Designators (SPC-4 7.8.6).
CODE_SET_BINARY, CODE_SET_ASCII, CODE_SET_UTF_8 = 1, 2, 3
ASSOCIATION_LOGICAL_UNIT, ASSOCIATION_TARGET_PORT, ASSOCIATION_TARGET_DEVICE = 0, 1, 2
TYPE_T10_VENDOR, TYPE_NAA, TYPE_RELATIVE_TARGET_PORT = 1, 3, 4
TYPE_TARGET_PORT_GROUP, TYPE_SCSI_NAME_STRING = 5, 8
PROTOCOL_ISCSI = 5


def page(page_code: int, body: bytes) -> bytes:
    """Build a VPD page from its code and its body. The header has the codes for a connected direct access block device."""
    return VpdPageHeader(page_code=page_code, page_length=len(body)).build() + body


def all_pages(logical_unit: LogicalUnit) -> dict[int, VpdPageBuilder]:
    """Return the builders of all VPD pages of a logical unit, by page code, including those of other packages."""
    pages = STANDARD_PAGES | logical_unit.added_vpd_pages
    missing = logical_unit.personality.missing_pages
    return {code: builder for code, builder in pages.items() if code not in missing} if missing else pages


def supported_pages(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all ports
    """Build the page that lists all page codes. The codes are in ascending order, because Windows ignores an unsorted list."""
    return page(SUPPORTED_PAGES, bytes(sorted(all_pages(logical_unit))))


def unit_serial_number(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all ports
    return page(UNIT_SERIAL_NUMBER, logical_unit.serial_number.encode("ascii"))


def device_identification(logical_unit: LogicalUnit, port: TargetPort) -> bytes:
    """Build the page with the names of the logical unit, the target port and the target device (SPC-4 7.8.6)."""
    vendor_specific = logical_unit.serial_number.encode("ascii")
    designators = (
        _designator(logical_unit.identity, CODE_SET_BINARY, TYPE_NAA),
        _designator(logical_unit.personality.vendor + vendor_specific, CODE_SET_ASCII, TYPE_T10_VENDOR),
        _designator(
            bytes((0, 0, *_u16(port.relative_target_port))),
            CODE_SET_BINARY,
            TYPE_RELATIVE_TARGET_PORT,
            ASSOCIATION_TARGET_PORT,
        ),
        _designator(
            bytes((0, 0, *_u16(port.target_port_group))),
            CODE_SET_BINARY,
            TYPE_TARGET_PORT_GROUP,
            ASSOCIATION_TARGET_PORT,
        ),
        _designator(_name_string(port.name), CODE_SET_UTF_8, TYPE_SCSI_NAME_STRING, ASSOCIATION_TARGET_PORT),
        _designator(_name_string(port.device_name), CODE_SET_UTF_8, TYPE_SCSI_NAME_STRING, ASSOCIATION_TARGET_DEVICE),
    )
    return page(DEVICE_IDENTIFICATION, b"".join(designators))


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _designator(designator: bytes, code_set: int, designator_type: int, association: int = ASSOCIATION_LOGICAL_UNIT) -> bytes:
    of_iscsi = association != ASSOCIATION_LOGICAL_UNIT
    header = DesignatorHeader(
        protocol_identifier=PROTOCOL_ISCSI if of_iscsi else 0,
        code_set=code_set,
        piv=of_iscsi,
        association=association,
        designator_type=designator_type,
        designator_length=len(designator),
    )
    return header.build() + designator


def _name_string(name: str) -> bytes:
    """Encode a name with a terminating zero, padded to a multiple of four bytes (SPC-4 7.8.6.11)."""
    encoded = name.encode("utf-8") + b"\0"
    return encoded.ljust(-(-len(encoded) // 4) * 4, b"\0")


def extended_inquiry_data(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all
    """Report support of SIMPLE, ORDERED and HEAD OF QUEUE tasks, and of a volatile write cache.

    The write cache is reported even while it is disabled. LUICLR is one, because REPORTED LUNS DATA HAS CHANGED is reported
    only once to each nexus.
    """
    body = ExtendedInquiryData(headsup=True, ordsup=True, simpsup=True, v_sup=True, luiclr=True).build()
    return page(EXTENDED_INQUIRY_DATA, body)


def block_limits(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all ports
    limits = logical_unit.reported_limits
    body = BlockLimits(
        wsnz=True,
        maximum_compare_and_write_length=limits.max_compare_and_write_blocks,
        optimal_transfer_length_granularity=limits.optimal_transfer_granularity_blocks,
        maximum_transfer_length=limits.max_transfer_blocks,
        optimal_transfer_length=limits.optimal_transfer_blocks,
        maximum_prefetch_length=limits.max_transfer_blocks,
        maximum_unmap_lba_count=limits.max_unmap_blocks,
        maximum_unmap_block_descriptor_count=limits.max_unmap_descriptors,
        optimal_unmap_granularity=limits.optimal_unmap_granularity_blocks,
        ugavalid=limits.optimal_unmap_granularity_blocks > 0,
        unmap_granularity_alignment=limits.unmap_granularity_alignment,
        maximum_write_same_length=limits.max_write_same_blocks,
        maximum_atomic_transfer_length=limits.max_atomic_transfer_blocks,
    ).build()
    return page(BLOCK_LIMITS, body)


def block_device_characteristics(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all
    """Report a medium that does not rotate, and that reads after SANITIZE succeed."""
    body = BlockDeviceCharacteristics(
        medium_rotation_rate=NON_ROTATING_MEDIUM, wabereq=READS_SUCCEED, wacereq=READS_SUCCEED
    ).build()
    return page(BLOCK_DEVICE_CHARACTERISTICS, body)


def logical_block_provisioning(logical_unit: LogicalUnit, port: TargetPort) -> bytes:  # noqa: ARG001 - the same for all ports
    """Report thin provisioning: usually, UNMAP and WRITE SAME deallocate blocks, and deallocated blocks read as zeros.

    The threshold exponent defines the size of a threshold set. The numbers in the Logical Block Provisioning log page, and the
    thresholds in the mode page, are numbers of threshold sets.
    """
    provisioning = logical_unit.personality.provisioning
    body = LogicalBlockProvisioning(
        threshold_exponent=(THRESHOLD_SET_BYTES // logical_unit.block_bytes).bit_length() - 1,
        lbpu=provisioning.unmap,
        lbpws=provisioning.write_same,
        lbpws10=provisioning.write_same,
        lbprz=READS_AS_ZEROS if provisioning.reads_as_zeros else 0,
        provisioning_type=THIN_PROVISIONED if provisioning.thin else 0,
    ).build()
    return page(LOGICAL_BLOCK_PROVISIONING, body)


STANDARD_PAGES: dict[int, VpdPageBuilder] = {
    SUPPORTED_PAGES: supported_pages,
    UNIT_SERIAL_NUMBER: unit_serial_number,
    DEVICE_IDENTIFICATION: device_identification,
    EXTENDED_INQUIRY_DATA: extended_inquiry_data,
    BLOCK_LIMITS: block_limits,
    BLOCK_DEVICE_CHARACTERISTICS: block_device_characteristics,
    LOGICAL_BLOCK_PROVISIONING: logical_block_provisioning,
}
"""Builders of the VPD pages that every logical unit has, by page code."""
