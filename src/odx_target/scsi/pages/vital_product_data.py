"""Vital product data pages (SPC-4 7.8, SBC-4 6.6): their layouts, and the functions that build them for a logical unit.

A builder returns the whole page. Pages of other packages are in `LogicalUnit.added_vpd_pages`; the copy manager adds one.
"""

from collections.abc import Callable

from odx_target.scsi.layout import Layout
from odx_target.scsi.limits import THRESHOLD_SET_BYTES
from odx_target.scsi.logical_unit import LogicalUnit

SUPPORTED_PAGES = 0x00
UNIT_SERIAL_NUMBER = 0x80
DEVICE_IDENTIFICATION = 0x83
EXTENDED_INQUIRY_DATA = 0x86
BLOCK_LIMITS = 0xB0
BLOCK_DEVICE_CHARACTERISTICS = 0xB1
LOGICAL_BLOCK_PROVISIONING = 0xB2

# Eight characters that T10 assigns to vendors (SPC-4 6.4.2); this identification is not registered.
T10_VENDOR_IDENTIFICATION = b"ODX     "
PRODUCT_IDENTIFICATION = b"odx-target".ljust(16)
PRODUCT_REVISION_LEVEL = b"0001"

HEADER = Layout("peripheral_qualifier:3 peripheral_device_type:5 page_code:8 page_length:16")

DESIGNATOR_HEADER = Layout("protocol_identifier:4 code_set:4 piv:1 -:1 association:2 designator_type:4 -:8 designator_length:8")

EXTENDED_INQUIRY_LAYOUT = Layout(
    "activate_microcode:2 spt:3 grd_chk:1 app_chk:1 ref_chk:1 "
    "-:2 uask_sup:1 group_sup:1 prior_sup:1 headsup:1 ordsup:1 simpsup:1 "
    "-:4 wu_sup:1 crd_sup:1 nv_sup:1 v_sup:1 "
    "-:3 p_i_i_sup:1 -:3 luiclr:1 "
    "-:3 r_sup:1 -:3 cbcs:1 "
    "-:4 multi_i_t_nexus_microcode_download:4 "
    "extended_self_test_completion_minutes:16 "
    "poa_sup:1 hra_sup:1 vsa_sup:1 -:5 "
    "maximum_supported_sense_data_length:8 -:50B"
)

BLOCK_LIMITS_LAYOUT = Layout(
    "-:7 wsnz:1 maximum_compare_and_write_length:8 optimal_transfer_length_granularity:16 "
    "maximum_transfer_length:32 optimal_transfer_length:32 maximum_prefetch_length:32 "
    "maximum_unmap_lba_count:32 maximum_unmap_block_descriptor_count:32 optimal_unmap_granularity:32 "
    "ugavalid:1 unmap_granularity_alignment:31 maximum_write_same_length:64 "
    "maximum_atomic_transfer_length:32 atomic_alignment:32 atomic_transfer_length_granularity:32 "
    "maximum_atomic_transfer_length_with_atomic_boundary:32 maximum_atomic_boundary_size:32"
)

BLOCK_DEVICE_CHARACTERISTICS_LAYOUT = Layout(
    "medium_rotation_rate:16 product_type:8 wabereq:2 wacereq:2 nominal_form_factor:4 -:2 zoned:2 -:2 fuab:1 vbuls:1 -:55B"
)

LOGICAL_BLOCK_PROVISIONING_LAYOUT = Layout(
    "threshold_exponent:8 lbpu:1 lbpws:1 lbpws10:1 lbprz:3 anc_sup:1 dp:1 minimum_percentage:5 provisioning_type:3 "
    "threshold_percentage:8"
)

NON_ROTATING_MEDIUM = 1
THIN_PROVISIONED = 2
READS_AS_ZEROS = 1

# Designators (SPC-4 7.8.6).
CODE_SET_BINARY, CODE_SET_ASCII, CODE_SET_UTF_8 = 1, 2, 3
ASSOCIATION_LOGICAL_UNIT, ASSOCIATION_TARGET_PORT, ASSOCIATION_TARGET_DEVICE = 0, 1, 2
TYPE_T10_VENDOR, TYPE_NAA, TYPE_RELATIVE_TARGET_PORT = 1, 3, 4
TYPE_TARGET_PORT_GROUP, TYPE_SCSI_NAME_STRING = 5, 8
PROTOCOL_ISCSI = 5


def page(page_code: int, body: bytes) -> bytes:
    """Build a page of a connected direct access block device, header and body."""
    return HEADER.build(page_code=page_code, page_length=len(body)) + body


def all_pages(logical_unit: LogicalUnit) -> dict[int, Callable[[LogicalUnit], bytes]]:
    """Return the builders of all VPD pages of a logical unit by page code, including pages of other packages."""
    return STANDARD_PAGES | logical_unit.added_vpd_pages


def supported_pages(logical_unit: LogicalUnit) -> bytes:
    """Build the list of page codes, in ascending order because Windows ignores an unsorted list."""
    return page(SUPPORTED_PAGES, bytes(sorted(all_pages(logical_unit))))


def unit_serial_number(logical_unit: LogicalUnit) -> bytes:
    return page(UNIT_SERIAL_NUMBER, logical_unit.serial_number.encode("ascii"))


def device_identification(logical_unit: LogicalUnit) -> bytes:
    """Build the page with the names of the logical unit, the target port and the target device (SPC-4 7.8.6)."""
    port = {"association": ASSOCIATION_TARGET_PORT, "piv": 1, "protocol_identifier": PROTOCOL_ISCSI}
    device = {**port, "association": ASSOCIATION_TARGET_DEVICE}
    port_name = f"{logical_unit.target_name},t,0x{logical_unit.target_port_group:04x}"
    vendor_specific = logical_unit.serial_number.encode("ascii")
    designators = (
        _designator(logical_unit.identity, CODE_SET_BINARY, TYPE_NAA),
        _designator(T10_VENDOR_IDENTIFICATION + vendor_specific, CODE_SET_ASCII, TYPE_T10_VENDOR),
        _designator(
            bytes((0, 0, *_u16(logical_unit.relative_target_port))), CODE_SET_BINARY, TYPE_RELATIVE_TARGET_PORT, **port
        ),
        _designator(bytes((0, 0, *_u16(logical_unit.target_port_group))), CODE_SET_BINARY, TYPE_TARGET_PORT_GROUP, **port),
        _designator(_name_string(port_name), CODE_SET_UTF_8, TYPE_SCSI_NAME_STRING, **port),
        _designator(_name_string(logical_unit.target_name), CODE_SET_UTF_8, TYPE_SCSI_NAME_STRING, **device),
    )
    return page(DEVICE_IDENTIFICATION, b"".join(designators))


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _designator(designator: bytes, code_set: int, designator_type: int, **fields: int) -> bytes:
    header = DESIGNATOR_HEADER.build(
        code_set=code_set, designator_type=designator_type, designator_length=len(designator), **fields
    )
    return header + designator


def _name_string(name: str) -> bytes:
    """Encode a name with a terminating zero, padded to a multiple of four bytes (SPC-4 7.8.6.11)."""
    encoded = name.encode("utf-8") + b"\0"
    return encoded.ljust(-(-len(encoded) // 4) * 4, b"\0")


def extended_inquiry_data(logical_unit: LogicalUnit) -> bytes:  # noqa: ARG001 - the same for all logical units
    """Report support of simple, ordered and head-of-queue tasks, and of a volatile write cache, even if it is disabled."""
    body = EXTENDED_INQUIRY_LAYOUT.build(group_sup=0, headsup=1, ordsup=1, simpsup=1, v_sup=1)
    return page(EXTENDED_INQUIRY_DATA, body)


def block_limits(logical_unit: LogicalUnit) -> bytes:
    limits = logical_unit.block_limits
    body = BLOCK_LIMITS_LAYOUT.build(
        wsnz=1,
        maximum_compare_and_write_length=limits.max_compare_and_write_blocks,
        optimal_transfer_length_granularity=limits.optimal_transfer_granularity_blocks,
        maximum_transfer_length=limits.max_transfer_blocks,
        optimal_transfer_length=limits.optimal_transfer_blocks,
        maximum_prefetch_length=limits.max_transfer_blocks,
        maximum_unmap_lba_count=limits.max_unmap_blocks,
        maximum_unmap_block_descriptor_count=limits.max_unmap_descriptors,
        optimal_unmap_granularity=limits.optimal_unmap_granularity_blocks,
        ugavalid=int(limits.optimal_unmap_granularity_blocks > 0),
        unmap_granularity_alignment=limits.unmap_granularity_alignment,
        maximum_write_same_length=limits.max_write_same_blocks,
        maximum_atomic_transfer_length=limits.max_atomic_transfer_blocks,
    )
    return page(BLOCK_LIMITS, body)


def block_device_characteristics(logical_unit: LogicalUnit) -> bytes:  # noqa: ARG001 - the same for all logical units
    body = BLOCK_DEVICE_CHARACTERISTICS_LAYOUT.build(medium_rotation_rate=NON_ROTATING_MEDIUM)
    return page(BLOCK_DEVICE_CHARACTERISTICS, body)


def logical_block_provisioning(logical_unit: LogicalUnit) -> bytes:
    """Report thin provisioning by UNMAP and WRITE SAME, with zeros in deallocated blocks, as READ CAPACITY(16) does.

    The threshold exponent gives the unit of the log page of the same name. Thresholds cannot be set.
    """
    body = LOGICAL_BLOCK_PROVISIONING_LAYOUT.build(
        threshold_exponent=(THRESHOLD_SET_BYTES // logical_unit.block_bytes).bit_length() - 1,
        lbpu=1,
        lbpws=1,
        lbpws10=1,
        lbprz=READS_AS_ZEROS,
        provisioning_type=THIN_PROVISIONED,
    )
    return page(LOGICAL_BLOCK_PROVISIONING, body)


STANDARD_PAGES: dict[int, Callable[[LogicalUnit], bytes]] = {
    SUPPORTED_PAGES: supported_pages,
    UNIT_SERIAL_NUMBER: unit_serial_number,
    DEVICE_IDENTIFICATION: device_identification,
    EXTENDED_INQUIRY_DATA: extended_inquiry_data,
    BLOCK_LIMITS: block_limits,
    BLOCK_DEVICE_CHARACTERISTICS: block_device_characteristics,
    LOGICAL_BLOCK_PROVISIONING: logical_block_provisioning,
}
"""Builders of the pages that every logical unit has, by page code."""
