"""The segments of an EXTENDED COPY: their logical units and byte ranges, and the checks that end with COPY ABORTED.

If a segment is refused here, the segments before it are copied first, because hosts take the number of the segment in the sense
data for the number of copied segments.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from odx_target.copymgr.commands.extended_copy_list import (
    BLOCKS_TO_BLOCKS,
    THIS_LOGICAL_UNIT,
    ExtendedCopyList,
    RawDescriptor,
    SegmentFields,
    decode_cscd,
    decode_segment,
)
from odx_target.copymgr.copy_aborted import CopyAborted
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.extent import Extent
from odx_target.scsi.pages.vital_product_data import ASSOCIATION_LOGICAL_UNIT, CODE_SET_BINARY, TYPE_NAA
from odx_target.scsi.sense import (
    COPY_TARGET_DEVICE_NOT_REACHABLE,
    INCORRECT_COPY_TARGET_DEVICE_TYPE,
    INVALID_FIELD_IN_PARAMETER_LIST,
    UNEXPECTED_INEXACT_SEGMENT,
    UNREACHABLE_COPY_TARGET,
)
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit

SOURCE_ID_FIELD, DESTINATION_ID_FIELD = 4, 6
SOURCE_LBA_FIELD, DESTINATION_LBA_FIELD = 12, 20
_BYTES_FIELD, _BLOCKS_FIELD = 8, 10
_SOURCE_OFFSET_FIELD, _DESTINATION_OFFSET_FIELD = 28, 30
_BLOCK_LENGTH_IN_CSCD = 29
_DIRECT_ACCESS_BLOCK_DEVICE = 0x00
_NO_UNIT = "the nexus has no logical unit with this name"


class CopyPlace(NamedTuple):
    """A copy source or copy destination: a logical unit, and a byte offset in it. `pads` is the PAD bit of its descriptor."""

    logical_unit: LogicalUnit
    offset_bytes: int
    pads: bool = False

    def extent(self, size_bytes: int, *, writes: bool) -> Extent:
        """Return the logical blocks that contain `size_bytes` bytes from this place on."""
        block_bytes = self.logical_unit.block_bytes
        first = self.offset_bytes // block_bytes
        return Extent(first, -(-(self.offset_bytes + size_bytes) // block_bytes) - first, writes)

    @property
    def block_bytes(self) -> int:
        return self.logical_unit.block_bytes


class RemotePlace(NamedTuple):
    """A copy source or copy destination that may be a logical unit of another array: its NAA designator, and a byte offset in
    it.
    """

    identity: bytes
    block_bytes: int
    offset_bytes: int
    pads: bool = False


AnyPlace: TypeAlias = CopyPlace | RemotePlace


class Segment(NamedTuple):
    """Copy `size_bytes` bytes from `source` to `destination`, and write `pad_bytes` zeros after them.

    At least one of them is a logical unit of this array. A remote destination gets whole blocks, and no zeros.
    """

    number: int
    source: AnyPlace
    destination: AnyPlace
    size_bytes: int
    pad_bytes: int = 0

    @property
    def written_bytes(self) -> int:
        return self.size_bytes + self.pad_bytes

    @property
    def destination_extent(self) -> Extent:
        """The blocks of the destination, which must be a logical unit of this array."""
        assert isinstance(self.destination, CopyPlace)
        return self.destination.extent(self.written_bytes, writes=True)


class SegmentPlan(NamedTuple):
    """The segments that an EXTENDED COPY copies, in order. If a segment cannot be copied, `error` is the reason, and only the
    segments before it are copied. So the number in the sense data is the number of segments that were copied.
    """

    segments: Sequence[Segment]
    error: CopyAborted | None = None


def segments_of(copies: Copies, task: Task, parameters: ExtendedCopyList) -> SegmentPlan:
    """Return the segments of a command, up to the first that cannot be copied. The descriptors must have supported types."""
    segments: list[Segment] = []
    try:
        for segment in _checked(copies, task, parameters):
            segments.append(segment)
    except CopyAborted as error:
        return SegmentPlan(segments, error)
    return SegmentPlan(segments)


def _checked(copies: Copies, task: Task, parameters: ExtendedCopyList) -> Iterator[Segment]:
    """Iterate over the segments of a command. Raises CopyAborted at the first segment that cannot be copied."""
    found: dict[int, AnyPlace | CopyAborted] = {}
    for number, raw in enumerate(parameters.segments):
        is_plain = raw.type_code == BLOCKS_TO_BLOCKS
        fields = decode_segment(raw.data)
        places: list[AnyPlace] = []
        for identifier, field in (
            (fields.source_id, SOURCE_ID_FIELD),
            (fields.destination_id, DESTINATION_ID_FIELD),
        ):
            if identifier not in found:
                found[identifier] = _find(copies, task, parameters.cscds, identifier)
            place = found[identifier]
            if isinstance(place, CopyAborted):
                place.segment = number
                place.segment_field = None if place.data_field is not None else field
                raise place
            places.append(place)
        source, destination = places
        segment = (_whole_blocks if is_plain else _bytes)(number, fields, source, destination)
        if isinstance(destination, RemotePlace):
            _check_remote_destination(segment)
        max_bytes = copies.limits.max_segment_bytes
        if segment.written_bytes > max_bytes:
            raise CopyAborted(
                INVALID_FIELD_IN_PARAMETER_LIST,
                segment=number,
                segment_field=_BLOCKS_FIELD if is_plain else _BYTES_FIELD,
                rule="the segment is too long",
                value=segment.written_bytes,
                limit="MAXIMUM SEGMENT LENGTH",
                allowed=max_bytes,
            )
        yield segment


def extents_of(segments: Sequence[Segment]) -> dict[LogicalUnit, list[Extent]]:
    """Return the blocks that the segments read or write, by logical unit."""
    extents: dict[LogicalUnit, list[Extent]] = {}
    for segment in segments:
        if isinstance(segment.source, CopyPlace):
            found = segment.source.extent(segment.size_bytes, writes=False)
            extents.setdefault(segment.source.logical_unit, []).append(found)
        if isinstance(segment.destination, CopyPlace):
            extents.setdefault(segment.destination.logical_unit, []).append(segment.destination_extent)
    return extents


def _check_remote_destination(segment: Segment) -> None:
    """Check a segment whose destination is not a logical unit of this array. Raises CopyAborted."""
    rule = ""
    if isinstance(segment.source, RemotePlace):
        rule = "neither the source nor the destination is a logical unit of this array"
    elif (
        segment.pad_bytes
        or (segment.destination.offset_bytes % segment.destination.block_bytes)
        or (segment.size_bytes % segment.destination.block_bytes)
    ):
        rule = "another array writes only whole blocks"
    if rule:
        raise CopyAborted(
            COPY_TARGET_DEVICE_NOT_REACHABLE, segment=segment.number, segment_field=DESTINATION_ID_FIELD, rule=rule
        )


def _whole_blocks(number: int, fields: SegmentFields, source: AnyPlace, destination: AnyPlace) -> Segment:
    """Return a segment of whole blocks. DC decides if the blocks of the source or of the destination are counted.

    If the bytes are no whole number of blocks on the other side, the other side must have the PAD bit, and CAT must be zero:
    the rest of a source block is then discarded, and the rest of a destination block is filled with zeros. Residual data is
    never kept for a later segment.
    """
    source_bytes, destination_bytes = source.block_bytes, destination.block_bytes
    size_bytes = fields.amount * (destination_bytes if fields.dc else source_bytes)
    rest_bytes = -size_bytes % (source_bytes if fields.dc else destination_bytes)
    if rest_bytes and (fields.cat or not (source.pads if fields.dc else destination.pads)):
        raise CopyAborted(
            UNEXPECTED_INEXACT_SEGMENT,
            segment=number,
            rule="the segment ends inside a block, and residual data cannot be kept for a later segment",
            field="BLOCK DEVICE NUMBER OF BLOCKS",
            value=fields.amount,
        )
    return Segment(
        number,
        source._replace(offset_bytes=fields.source_lba * source_bytes),
        destination._replace(offset_bytes=fields.destination_lba * destination_bytes),
        size_bytes,
        0 if fields.dc else rest_bytes,
    )


def _bytes(number: int, fields: SegmentFields, source: AnyPlace, destination: AnyPlace) -> Segment:
    """Return a segment of bytes. The bytes of the destination blocks before and after them do not change."""
    source_bytes, destination_bytes = source.block_bytes, destination.block_bytes
    offsets = fields.source_offset, fields.destination_offset
    for offset, block_bytes, field in zip(
        offsets, (source_bytes, destination_bytes), (_SOURCE_OFFSET_FIELD, _DESTINATION_OFFSET_FIELD), strict=True
    ):
        if offset >= block_bytes:
            raise CopyAborted(
                INVALID_FIELD_IN_PARAMETER_LIST,
                segment=number,
                segment_field=field,
                rule="the byte offset lies beyond the first block",
                field="BYTE OFFSET",
                value=offset,
                limit="bytes of a block",
                allowed=block_bytes - 1,
            )
    return Segment(
        number,
        source._replace(offset_bytes=fields.source_lba * source_bytes + offsets[0]),
        destination._replace(offset_bytes=fields.destination_lba * destination_bytes + offsets[1]),
        fields.amount,
    )


def _find(copies: Copies, task: Task, cscds: Sequence[RawDescriptor], identifier: int) -> AnyPlace | CopyAborted:
    """Return the logical unit that a CSCD descriptor ID names, or the reason why there is none.

    A name that this array does not know may belong to another array, if there are paths to others.
    """
    if identifier == THIS_LOGICAL_UNIT:
        return CopyPlace(task.logical_unit, 0)
    if identifier >= len(cscds):
        return CopyAborted(
            UNREACHABLE_COPY_TARGET, rule="no descriptor has this number", field="CSCD DESCRIPTOR ID", value=identifier
        )
    raw = cscds[identifier]
    fields = decode_cscd(raw.data)
    if fields.peripheral_device_type != _DIRECT_ACCESS_BLOCK_DEVICE:
        return CopyAborted(
            INCORRECT_COPY_TARGET_DEVICE_TYPE,
            rule="only disks are supported",
            field="PERIPHERAL DEVICE TYPE",
            value=fields.peripheral_device_type,
        )
    is_naa = (fields.code_set, fields.association, fields.designator_type) == (
        CODE_SET_BINARY,
        ASSOCIATION_LOGICAL_UNIT,
        TYPE_NAA,
    )
    logical_unit = copies.units_by_identity.get(fields.designator) if is_naa else None
    if logical_unit is None and is_naa and copies.accepts_remote:
        block_bytes = fields.disk_block_length or task.logical_unit.block_bytes
        return RemotePlace(fields.designator, block_bytes, 0, fields.pad)
    if logical_unit is None or task.nexus.lun_of(logical_unit) is None:
        return CopyAborted(COPY_TARGET_DEVICE_NOT_REACHABLE, rule=_NO_UNIT, field="DESIGNATOR")
    if fields.disk_block_length not in (0, logical_unit.block_bytes):
        return CopyAborted(
            INVALID_FIELD_IN_PARAMETER_LIST,
            data_field=raw.offset + _BLOCK_LENGTH_IN_CSCD,
            rule="the blocks of the logical unit have another length",
            field="DISK BLOCK LENGTH",
            value=fields.disk_block_length,
        )
    return CopyPlace(logical_unit, 0, fields.pad)
