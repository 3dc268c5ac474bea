"""The sizes of an EXTENDED COPY and of its segments, and the reasons not to offload a copy at all."""

from dataclasses import dataclass

from odx_target.initiator.esxi.disk import EsxiDisk, Place
from odx_target.initiator.esxi.extended_copy import CSCD_BYTES, MAX_SEGMENT_BLOCKS, SEGMENT_BYTES
from odx_target.initiator.esxi.operating_parameters import OperatingParameters
from odx_target.initiator.esxi.rules import Finding, Rule
from odx_target.initiator.esxi.settings import DiskType, EsxiSettings, Receiver


@dataclass(frozen=True, slots=True)
class CopySize:
    """Maximum size of one EXTENDED COPY, and of one of its segments."""

    command_bytes: int
    segment_bytes: int


def copy_size(receiver: EsxiDisk, settings: EsxiSettings) -> CopySize:
    """Return the sizes for EXTENDED COPY commands to a disk. They are 0 if the disk accepts only segments that are too short.

    Without the values of the array, each command has one segment of the size that the host's settings give.
    """
    parameters = receiver.parameters
    segment_bytes = _aligned(MAX_SEGMENT_BLOCKS * receiver.block_bytes, settings)
    if parameters.max_segment_bytes:
        segment_bytes = min(segment_bytes, _aligned(parameters.max_segment_bytes, settings))
    command_bytes = settings.transfer_bytes
    if settings.use_array_values:
        wanted_bytes = parameters.max_segment_bytes or settings.transfer_bytes
        command_bytes = _aligned(min(wanted_bytes, settings.max_array_transfer_bytes), settings)
    thin_bytes = settings.row.thin_transfer_bytes
    if settings.destination_type is DiskType.THIN and thin_bytes is not None:
        command_bytes = min(command_bytes, thin_bytes)
    segments = _most_segments(parameters) if settings.multiple_segments else 1
    command_bytes = min(command_bytes, segments * segment_bytes)
    return CopySize(command_bytes, min(segment_bytes, command_bytes))


def why_not(source: Place, destination: Place, size_bytes: int, settings: EsxiSettings) -> Finding | None:
    """Return the reason why ESXi does not try to offload a copy between two disks that could offload; None if it tries."""
    receiver = receiver_of(source, destination, settings)
    if source.disk.block_bytes != destination.disk.block_bytes:
        detail = f"{source.disk.block_bytes} and {destination.disk.block_bytes} bytes"
        return destination.disk.find(Rule.BLOCK_LENGTHS, detail)
    if (settings.source_type, settings.destination_type) == (DiskType.EAGER_ZEROED, DiskType.THIN):
        return destination.disk.find(Rule.THICK_TO_THIN)
    granularity = receiver.parameters.granularity_bytes
    starts = (place.lba * place.disk.block_bytes for place in (source, destination))
    size = copy_size(receiver, settings)
    if not size.command_bytes:
        return receiver.find(Rule.SEGMENT_SHORT, f"{receiver.parameters.max_segment_bytes} bytes")
    if any(place % granularity for place in (*starts, size_bytes, size.segment_bytes)):
        return receiver.find(Rule.NOT_ALIGNED, f"{granularity} bytes")
    return None


def receiver_of(source: Place, destination: Place, settings: EsxiSettings) -> EsxiDisk:
    """Return the disk to which EXTENDED COPY is sent."""
    return (source if settings.receiver is Receiver.SOURCE else destination).disk


def _most_segments(parameters: OperatingParameters) -> int:
    """Return the maximum number of segments beside two CSCD descriptors."""
    room = (parameters.max_descriptors_bytes - 2 * CSCD_BYTES) // SEGMENT_BYTES
    return max(1, min(parameters.max_segments, room))


def _aligned(size_bytes: int, settings: EsxiSettings) -> int:
    """Return the size rounded down to whole reads of the data mover."""
    return size_bytes // settings.io_bytes * settings.io_bytes
