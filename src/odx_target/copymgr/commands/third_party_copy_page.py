"""The third-party copy VPD page, 8Fh (SPC-4 7.8.17, SBC-4 6.6.8).

Descriptors are in ascending order of type. So the block device ROD token limits, the only descriptor that Windows reads, come
first. Descriptors that only EXTENDED COPY uses are omitted.
"""

from itertools import groupby

from odx_target.copymgr.commands.parameter_lists import CDB_LAYOUTS, ServiceAction
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.tokens.rod_types import ROD_TYPES, RodType, RodTypeRow
from odx_target.scsi.layout import Layout
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.store.api import BLOCK_BYTES

THIRD_PARTY_COPY = 0x8F

DESCRIPTOR_HEADER = Layout("third_party_copy_descriptor_type:16 third_party_copy_descriptor_length:16")

TOKEN_LIMITS = 0x0000
SUPPORTED_COMMANDS = 0x0001
ROD_TOKEN_FEATURES = 0x0106
SUPPORTED_ROD_TYPES = 0x0108
GENERAL_COPY_OPERATIONS = 0x8001

TOKEN_LIMITS_LAYOUT = Layout(
    "vendor_specific:6B maximum_range_descriptors:16 maximum_inactivity_timeout:32 default_inactivity_timeout:32 "
    "maximum_token_transfer_size:64 optimal_transfer_count:64"
)
ROD_TOKEN_FEATURES_LAYOUT = Layout(
    "-:4 remote_tokens:4 -:88 minimum_token_lifetime:32 maximum_token_lifetime:32 maximum_token_inactivity_timeout:32 -:144 "
    "rod_device_type_specific_features_length:16"
)
BLOCK_ROD_FEATURES_LAYOUT = Layout(
    "descriptor_format:3 peripheral_device_type:5 -:8 descriptor_length:16 -:16 optimal_block_rod_length_granularity:16 "
    "maximum_bytes_in_block_rod:64 optimal_bytes_in_block_rod_transfer:64 optimal_bytes_to_token_per_segment:64 "
    "optimal_bytes_from_token_per_segment:64 -:64"
)
SUPPORTED_ROD_TYPES_LAYOUT = Layout("-:16 rod_type_descriptors_length:16")
ROD_TYPE_LAYOUT = Layout("rod_type:32 ecpy_int:1 -:5 token_in:1 token_out:1 -:8 preference_indicator:16 -:448")
GENERAL_COPY_OPERATIONS_LAYOUT = Layout(
    "total_concurrent_copies:32 maximum_identified_concurrent_copies:32 maximum_segment_length:32 "
    "data_segment_granularity:8 inline_data_granularity:8 -:144"
)

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
    header = DESCRIPTOR_HEADER.build(
        third_party_copy_descriptor_type=descriptor_type, third_party_copy_descriptor_length=len(body)
    )
    return header + body


def _token_limits(limits: CopyLimits, block_bytes: int) -> bytes:
    return TOKEN_LIMITS_LAYOUT.build(
        maximum_range_descriptors=limits.max_range_descriptors,
        maximum_inactivity_timeout=limits.max_inactivity_timeout_s,
        default_inactivity_timeout=limits.default_inactivity_timeout_s,
        maximum_token_transfer_size=limits.max_rod_bytes // block_bytes,
        optimal_transfer_count=limits.optimal_transfer_bytes // block_bytes,
    )


def _supported_commands() -> bytes:
    """Build the list of operation codes, each with its service actions, in ascending order (SPC-4 7.8.17.4)."""
    commands = sorted((CDB_LAYOUTS[action][0], int(action)) for action in ServiceAction)
    entries = b""
    for operation_code, group in groupby(commands, key=lambda command: command[0]):
        actions = bytes(action for _, action in group)
        entries += bytes((operation_code, len(actions))) + actions
    return bytes((len(entries),)) + entries


def _rod_token_features(limits: CopyLimits, block_bytes: int) -> bytes:
    """Build the descriptor of ROD token features. Its fields "per segment" belong to EXTENDED COPY and stay zero."""
    block_rods = BLOCK_ROD_FEATURES_LAYOUT.build(
        descriptor_length=BLOCK_ROD_FEATURES_LAYOUT.size_bytes - 4,
        optimal_block_rod_length_granularity=BLOCK_BYTES // block_bytes,
        maximum_bytes_in_block_rod=limits.max_rod_bytes,
        optimal_bytes_in_block_rod_transfer=limits.optimal_transfer_bytes,
    )
    features = ROD_TOKEN_FEATURES_LAYOUT.build(
        remote_tokens=_LOCAL_TOKENS_ONLY,
        minimum_token_lifetime=limits.min_inactivity_timeout_s,
        maximum_token_lifetime=limits.max_token_lifetime_s,
        maximum_token_inactivity_timeout=limits.max_inactivity_timeout_s,
        rod_device_type_specific_features_length=len(block_rods),
    )
    return features + block_rods


def _supported_rod_types(options: CopyOptions) -> bytes:
    rows = [row for row in ROD_TYPES.values() if row.token_in or row.token_out]
    if not options.zero_token_accepted:
        rows = [row for row in rows if row.rod_type is not RodType.BLOCK_DEVICE_ZERO]
    entries = b"".join(_rod_type(row) for row in sorted(rows, key=lambda row: row.rod_type))
    return SUPPORTED_ROD_TYPES_LAYOUT.build(rod_type_descriptors_length=len(entries)) + entries


def _rod_type(row: RodTypeRow) -> bytes:
    return ROD_TYPE_LAYOUT.build(rod_type=row.rod_type, token_in=int(row.token_in), token_out=int(row.token_out))


def _general_copy_operations(limits: CopyLimits, block_bytes: int) -> bytes:
    concurrent = limits.max_concurrent_copies
    granularity = block_bytes.bit_length() - 1
    return GENERAL_COPY_OPERATIONS_LAYOUT.build(
        total_concurrent_copies=concurrent,
        maximum_identified_concurrent_copies=concurrent,
        data_segment_granularity=granularity,
    )
