"""The third-party copy VPD page, 8Fh (SPC-4 7.8.17, SBC-4 6.6.8).

Descriptors are in ascending order of type. Therefore the descriptor of the block device ROD token limits is the first
descriptor. Windows reads only this descriptor. Descriptors that only EXTENDED COPY uses are omitted.
"""

from itertools import groupby

from odx_target.copymgr.commands.parameter_lists import CDB_LAYOUTS, ServiceAction
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.tokens.rod_types import ROD_TYPES, RodType, RodTypeRow
from odx_target.scsi.layout import Layout, bits, flag, number, octets
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.store.api import BLOCK_BYTES

THIRD_PARTY_COPY = 0x8F


class DescriptorHeader(Layout):
    """The header of a third-party copy descriptor."""

    third_party_copy_descriptor_type: int = number(0, 2)
    third_party_copy_descriptor_length: int = number(2, 2)


TOKEN_LIMITS = 0x0000
SUPPORTED_COMMANDS = 0x0001
ROD_TOKEN_FEATURES = 0x0106
SUPPORTED_ROD_TYPES = 0x0108
GENERAL_COPY_OPERATIONS = 0x8001


class TokenLimits(Layout):
    """The body of the block device ROD token limits descriptor."""

    vendor_specific: bytes = octets(0, 6)
    maximum_range_descriptors: int = number(6, 2)
    maximum_inactivity_timeout: int = number(8, 4)
    default_inactivity_timeout: int = number(12, 4)
    maximum_token_transfer_size: int = number(16, 8)
    optimal_transfer_count: int = number(24, 8)


class RodTokenFeatures(Layout):
    """The fields of the ROD token features descriptor before the features of the device types."""

    remote_tokens: int = bits(0, 3, 4)
    minimum_token_lifetime: int = number(12, 4)
    maximum_token_lifetime: int = number(16, 4)
    maximum_token_inactivity_timeout: int = number(20, 4)
    rod_device_type_specific_features_length: int = number(42, 2)


class BlockRodFeatures(Layout):
    """The features of block devices in the ROD token features descriptor."""

    size_bytes = 48
    descriptor_format: int = bits(0, 7, 3)
    peripheral_device_type: int = bits(0, 4, 5)
    descriptor_length: int = number(2, 2)
    optimal_block_rod_length_granularity: int = number(6, 2)
    maximum_bytes_in_block_rod: int = number(8, 8)
    optimal_bytes_in_block_rod_transfer: int = number(16, 8)
    optimal_bytes_to_token_per_segment: int = number(24, 8)
    optimal_bytes_from_token_per_segment: int = number(32, 8)


class SupportedRodTypesHeader(Layout):
    """The header of the list of supported ROD types."""

    rod_type_descriptors_length: int = number(2, 2)


class RodTypeDescriptor(Layout):
    """One ROD type in the list of supported ROD types."""

    size_bytes = 64
    rod_type: int = number(0, 4)
    ecpy_int: bool = flag(4, 7)
    token_in: bool = flag(4, 1)
    token_out: bool = flag(4, 0)
    preference_indicator: int = number(6, 2)


class GeneralCopyOperations(Layout):
    """The body of the general copy operations descriptor."""

    size_bytes = 32
    total_concurrent_copies: int = number(0, 4)
    maximum_identified_concurrent_copies: int = number(4, 4)
    maximum_segment_length: int = number(8, 4)
    data_segment_granularity: int = number(12, 1)
    inline_data_granularity: int = number(13, 1)


_LOCAL_TOKENS_ONLY = 0
"""REMOTE TOKENS 0h: only tokens that were made within this target device are accepted."""
_DESCRIPTOR_ALIGNMENT_BYTES = 4


def third_party_copy_page(logical_unit: LogicalUnit, limits: CopyLimits, options: CopyOptions) -> bytes:
    """Build the whole page for a logical unit."""
    block_bytes = logical_unit.block_bytes
    descriptors = (
        (TOKEN_LIMITS, _token_limits(limits, block_bytes)),
        (SUPPORTED_COMMANDS, _supported_commands()),
        (ROD_TOKEN_FEATURES, _rod_token_features(limits, block_bytes)),
        (SUPPORTED_ROD_TYPES, _supported_rod_types(options)),
        (GENERAL_COPY_OPERATIONS, _general_copy_operations(limits, block_bytes)),
    )
    return vpd.page(THIRD_PARTY_COPY, b"".join(_descriptor(*each) for each in descriptors))


def _descriptor(descriptor_type: int, body: bytes) -> bytes:
    body = body.ljust(-(-len(body) // _DESCRIPTOR_ALIGNMENT_BYTES) * _DESCRIPTOR_ALIGNMENT_BYTES, b"\0")
    header = DescriptorHeader(
        third_party_copy_descriptor_type=descriptor_type, third_party_copy_descriptor_length=len(body)
    ).build()
    return header + body


def _token_limits(limits: CopyLimits, block_bytes: int) -> bytes:
    return TokenLimits(
        maximum_range_descriptors=limits.max_range_descriptors,
        maximum_inactivity_timeout=limits.max_inactivity_timeout_s,
        default_inactivity_timeout=limits.default_inactivity_timeout_s,
        maximum_token_transfer_size=limits.max_rod_bytes // block_bytes,
        optimal_transfer_count=limits.optimal_transfer_bytes // block_bytes,
    ).build()


def _supported_commands() -> bytes:
    """Build the list of supported operation codes with their service actions, in ascending order (SPC-4 7.8.17.4)."""
    commands = sorted((CDB_LAYOUTS[action][0], int(action)) for action in ServiceAction)
    entries = b""
    for operation_code, group in groupby(commands, key=lambda command: command[0]):
        actions = bytes(action for _, action in group)
        entries += bytes((operation_code, len(actions))) + actions
    return bytes((len(entries),)) + entries


def _rod_token_features(limits: CopyLimits, block_bytes: int) -> bytes:
    """Build the descriptor of ROD token features.

    The fields whose names contain "per segment" belong to EXTENDED COPY and stay zero.
    """
    block_rods = BlockRodFeatures(
        descriptor_length=BlockRodFeatures.size_bytes - 4,
        optimal_block_rod_length_granularity=BLOCK_BYTES // block_bytes,
        maximum_bytes_in_block_rod=limits.max_rod_bytes,
        optimal_bytes_in_block_rod_transfer=limits.optimal_transfer_bytes,
    ).build()
    features = RodTokenFeatures(
        remote_tokens=_LOCAL_TOKENS_ONLY,
        minimum_token_lifetime=limits.min_inactivity_timeout_s,
        maximum_token_lifetime=limits.max_token_lifetime_s,
        maximum_token_inactivity_timeout=limits.max_inactivity_timeout_s,
        rod_device_type_specific_features_length=len(block_rods),
    ).build()
    return features + block_rods


def _supported_rod_types(options: CopyOptions) -> bytes:
    rows = [row for row in ROD_TYPES.values() if row.token_in or row.token_out]
    if not options.zero_token_accepted:
        rows = [row for row in rows if row.rod_type is not RodType.BLOCK_DEVICE_ZERO]
    entries = b"".join(_rod_type(row) for row in sorted(rows, key=lambda row: row.rod_type))
    return SupportedRodTypesHeader(rod_type_descriptors_length=len(entries)).build() + entries


def _rod_type(row: RodTypeRow) -> bytes:
    return RodTypeDescriptor(rod_type=row.rod_type, token_in=row.token_in, token_out=row.token_out).build()


def _general_copy_operations(limits: CopyLimits, block_bytes: int) -> bytes:
    concurrent = limits.max_concurrent_copies
    granularity = block_bytes.bit_length() - 1
    return GeneralCopyOperations(
        total_concurrent_copies=concurrent,
        maximum_identified_concurrent_copies=concurrent,
        data_segment_granularity=granularity,
    ).build()
