"""Builders of the parameter lists of EXTENDED COPY, and the command of a test array. The bytes are built by hand, not with the
layouts of the code under test.
"""

from collections.abc import Sequence
from typing import NamedTuple

from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from tests.copymgr.array import CopyArray, Started

LIST_IDENTIFIER = 7
HERE = 0xFFFF


class BlocksSegment(NamedTuple):
    """Segment 02h. The sources and destinations are CSCD descriptor IDs."""

    source: int
    source_lba: int
    destination: int
    destination_lba: int
    count: int
    flags: int = 0

    def build(self) -> bytes:
        return (
            bytes((0x02, self.flags, 0, 0x18))
            + self.source.to_bytes(2, "big")
            + self.destination.to_bytes(2, "big")
            + bytes(2)
            + self.count.to_bytes(2, "big")
            + self.source_lba.to_bytes(8, "big")
            + self.destination_lba.to_bytes(8, "big")
        )


class BytesSegment(NamedTuple):
    """Segment 0Ah."""

    source: int
    source_lba: int
    source_offset: int
    destination: int
    destination_lba: int
    destination_offset: int
    count_bytes: int

    def build(self) -> bytes:
        return (
            bytes((0x0A, 0, 0, 0x1C))
            + self.source.to_bytes(2, "big")
            + self.destination.to_bytes(2, "big")
            + self.count_bytes.to_bytes(4, "big")
            + self.source_lba.to_bytes(8, "big")
            + self.destination_lba.to_bytes(8, "big")
            + self.source_offset.to_bytes(2, "big")
            + self.destination_offset.to_bytes(2, "big")
        )


def cscd(identity: bytes, *, block_bytes: int = 0, pad: bool = False, device_type: int = 0) -> bytes:
    header = bytes((0xE4, device_type, 0, 0, 1, 3, 0, len(identity)))
    return header + identity.ljust(20, b"\0") + bytes((0x04 if pad else 0,)) + block_bytes.to_bytes(3, "big")


def lid1_list(
    cscds: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = LIST_IDENTIFIER, usage: int = 0, inline: bytes = b""
) -> bytes:
    targets, copies = b"".join(cscds), b"".join(segments)
    header = bytes((identifier, usage << 3)) + len(targets).to_bytes(2, "big") + bytes(4)
    return header + len(copies).to_bytes(4, "big") + len(inline).to_bytes(4, "big") + targets + copies + inline


def lid4_list(
    cscds: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = LIST_IDENTIFIER, usage: int = 0, options: int = 0
) -> bytes:
    targets, copies = b"".join(cscds), b"".join(segments)
    header = bytes((1, usage << 3, 0, 0x20)) + bytes(11) + bytes((options, 0xFF, 0, 0, 0)) + identifier.to_bytes(4, "big")
    lengths = len(targets).to_bytes(2, "big") + len(copies).to_bytes(2, "big") + bytes(2)
    return header + bytes(18) + lengths + targets + copies


def copy_cdb(list_bytes: int, *, is_lid4: bool = False) -> bytes:
    return bytes((0x83, int(is_lid4))) + bytes(8) + list_bytes.to_bytes(4, "big") + bytes(2)


def start_copy(
    array: CopyArray,
    lun: int,
    parameters: bytes,
    *,
    is_lid4: bool = False,
    nexus: Nexus | None = None,
    tag: int | None = None,
) -> Started:
    return array.start(lun, copy_cdb(len(parameters), is_lid4=is_lid4), parameters, nexus=nexus, tag=tag)


def copy(array: CopyArray, lun: int, parameters: bytes, *, is_lid4: bool = False, nexus: Nexus | None = None) -> Reply:
    return start_copy(array, lun, parameters, is_lid4=is_lid4, nexus=nexus).wait(array.environment)


def lun_list(
    array: CopyArray,
    luns: Sequence[int],
    segments: Sequence[BlocksSegment | BytesSegment],
    *,
    usage: int = 0,
    pad: bool = False,
) -> bytes:
    """Return a LID1 list with a CSCD descriptor for each LUN of `luns`, in this order."""
    cscds = [cscd(array.logical_units[lun].identity, pad=pad) for lun in luns]
    return lid1_list(cscds, [segment.build() for segment in segments], usage=usage)


def receive(array: CopyArray, lun: int, action: int, identifier: int = LIST_IDENTIFIER, allocation: int = 1024) -> Reply:
    return array.command(lun, bytes((0x84, action, identifier)) + bytes(7) + allocation.to_bytes(4, "big"))
