"""The third-party copy VPD page, 8Fh (SPC-4 7.8.17, SBC-4 6.6.8).

Descriptors are in ascending order of type. Therefore the descriptor of the block device ROD token limits is the first
descriptor. Windows reads only this descriptor. RECEIVE COPY OPERATING PARAMETERS reports the limits of EXTENDED COPY too.
"""

from itertools import groupby

from odx_target.copymgr.commands.extended_copy_list import THIS_LOGICAL_UNIT
from odx_target.copymgr.commands.lid1_results import descriptor_type_codes
from odx_target.copymgr.commands.parameter_lists import COPY_CDBS, THIRD_PARTY_COPY_OUT, ServiceAction
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.tokens.rod_types import RodType, RodTypeRow
from odx_target.scsi.layout import Layout, bits, flag, number, octets
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES

THIRD_PARTY_COPY = 0x8F


class DescriptorHeader(Layout):
    """The header of a third-party copy descriptor."""

    third_party_copy_descriptor_type: int = number(0, 2)
    third_party_copy_descriptor_length: int = number(2, 2)


TOKEN_LIMITS = 0x0000
SUPPORTED_COMMANDS = 0x0001
PARAMETER_DATA = 0x0004
SUPPORTED_DESCRIPTORS = 0x0008
SUPPORTED_CSCD_DESCRIPTOR_IDS = 0x000C
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


class ParameterData(Layout):
    """The body of the parameter data descriptor, which has limits of EXTENDED COPY."""

    size_bytes = 28
    maximum_cscd_descriptor_count: int = number(4, 2)
    maximum_segment_descriptor_count: int = number(6, 2)
    maximum_descriptor_list_length: int = number(8, 4)
    maximum_inline_data_length: int = number(12, 4)


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


ABOUT_TOKENS = frozenset({TOKEN_LIMITS, ROD_TOKEN_FEATURES, SUPPORTED_ROD_TYPES})
"""Descriptors of a copy manager that makes tokens."""
MAKES_TOKENS = (THIRD_PARTY_COPY_OUT, int(ServiceAction.POPULATE_TOKEN))

LOCAL_TOKENS_ONLY = 0
"""REMOTE TOKENS 0h: only tokens that were made within this target device are accepted."""
REMOTE_TOKENS_USED = 4
"""REMOTE TOKENS 4h: tokens of other target devices are accepted too, but no tokens are made there."""
_DESCRIPTOR_ALIGNMENT_BYTES = 4


def third_party_copy_page(
    logical_unit: LogicalUnit, limits: CopyLimits, options: CopyOptions, *, accepts_remote: bool = False
) -> bytes:
    """Build the whole page for a logical unit. `accepts_remote` is True if tokens of any other array are accepted."""
    block_bytes = logical_unit.block_bytes
    descriptors = [
        (TOKEN_LIMITS, _token_limits(limits, block_bytes)),
        (SUPPORTED_COMMANDS, _supported_commands(options)),
        (PARAMETER_DATA, _parameter_data(limits)),
        (SUPPORTED_DESCRIPTORS, _with_length(descriptor_type_codes(), 1)),
        (SUPPORTED_CSCD_DESCRIPTOR_IDS, _with_length(THIS_LOGICAL_UNIT.to_bytes(2, "big"), 2)),
        (ROD_TOKEN_FEATURES, _rod_token_features(limits, block_bytes, accepts_remote=accepts_remote)),
        (SUPPORTED_ROD_TYPES, _supported_rod_types(options)),
        (GENERAL_COPY_OPERATIONS, _general_copy_operations(limits)),
    ]
    if MAKES_TOKENS in options.missing_commands:
        descriptors = [each for each in descriptors if each[0] not in ABOUT_TOKENS]
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


def _supported_commands(options: CopyOptions) -> bytes:
    """Build the list of supported operation codes with their service actions, in ascending order (SPC-4 7.8.17.4)."""
    commands = sorted({(operation_code, int(action)) for action, operation_code, _, _ in COPY_CDBS} - options.missing_commands)
    entries = b""
    for operation_code, group in groupby(commands, key=lambda command: command[0]):
        actions = bytes(action for _, action in group)
        entries += bytes((operation_code, len(actions))) + actions
    return bytes((len(entries),)) + entries


def _parameter_data(limits: CopyLimits) -> bytes:
    return ParameterData(
        maximum_cscd_descriptor_count=limits.max_cscd_descriptors,
        maximum_segment_descriptor_count=limits.max_segment_descriptors,
        maximum_descriptor_list_length=limits.max_descriptor_list_bytes,
    ).build()


def _with_length(entries: bytes, field_bytes: int) -> bytes:
    """Return a list after its length, which has `field_bytes` bytes."""
    return len(entries).to_bytes(field_bytes, "big") + entries


def _rod_token_features(limits: CopyLimits, block_bytes: int, *, accepts_remote: bool) -> bytes:
    """Build the descriptor of ROD token features.

    The fields whose names contain "per segment" stay zero, because EXTENDED COPY does not support RODs.
    """
    block_rods = BlockRodFeatures(
        descriptor_length=BlockRodFeatures.size_bytes - 4,
        optimal_block_rod_length_granularity=BLOCK_BYTES // block_bytes,
        maximum_bytes_in_block_rod=limits.max_rod_bytes,
        optimal_bytes_in_block_rod_transfer=limits.optimal_transfer_bytes,
    ).build()
    features = RodTokenFeatures(
        remote_tokens=REMOTE_TOKENS_USED if accepts_remote else LOCAL_TOKENS_ONLY,
        minimum_token_lifetime=limits.min_inactivity_timeout_s,
        maximum_token_lifetime=limits.max_token_lifetime_s,
        maximum_token_inactivity_timeout=limits.max_inactivity_timeout_s,
        rod_device_type_specific_features_length=len(block_rods),
    ).build()
    return features + block_rods


def _supported_rod_types(options: CopyOptions) -> bytes:
    rows = options.rod_types.rows()
    if not options.zero_token_accepted:
        rows = [row for row in rows if row.rod_type is not RodType.BLOCK_DEVICE_ZERO]
    entries = b"".join(_rod_type(row) for row in rows)
    return SupportedRodTypesHeader(rod_type_descriptors_length=len(entries)).build() + entries


def _rod_type(row: RodTypeRow) -> bytes:
    return RodTypeDescriptor(rod_type=row.rod_type, token_in=row.token_in, token_out=row.token_out).build()


def _general_copy_operations(limits: CopyLimits) -> bytes:
    """Build the descriptor of general copy operations. The granularity of segments is one byte."""
    return GeneralCopyOperations(
        total_concurrent_copies=limits.max_concurrent_copies,
        maximum_identified_concurrent_copies=limits.max_identified_copies,
        maximum_segment_length=limits.max_segment_bytes,
    ).build()
