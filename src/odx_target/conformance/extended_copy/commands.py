"""The parameter lists of EXTENDED COPY (SPC-4 6.4, 6.5) and the commands that report its results."""

import struct
from collections.abc import Sequence

from odx_target.conformance.faults import NotSupported, require_equal
from odx_target.conformance.unit import Unit

IDENTIFIER = 7
"""List identifier of the commands of a check."""
HELD = 0b00
"""LIST ID USAGE that keeps the result of the command."""
NO_IDENTIFIER = 0b11
SOURCE, DESTINATION, COUNT = 0, 4096, 64
AREA_BLOCKS = DESTINATION + 1024
ALLOCATION_BYTES = 1024
COPY_STATUS, OPERATING_PARAMETERS, FAILURE_DETAILS, COPY_STATUS_LID4 = 0x00, 0x03, 0x04, 0x05
BLOCKS_TO_BLOCKS, BYTES_TO_BYTES = 0x02, 0x0A
IDENTIFICATION = 0xE4
NAA, EUI_64 = 3, 2


def cscd(descriptor: bytes) -> bytes:
    """Return an identification descriptor for a LUN. `descriptor` is the designation descriptor of VPD page 83h that names the
    LUN.
    """
    designator = descriptor[4:]
    header = bytes((IDENTIFICATION, 0, 0, 0, descriptor[0] & 0x0F, descriptor[1] & 0x0F, 0, len(designator)))
    return (header + designator.ljust(20, b"\0")).ljust(32, b"\0")


def segment(source: int, source_lba: int, destination: int, destination_lba: int, count: int, *, kind: int = 2) -> bytes:
    """Return a segment descriptor that copies whole blocks. Source and destination are indexes of CSCD descriptors."""
    return struct.pack(">BBHHHHHQQ", kind, DC, 0x18, source, destination, 0, count, source_lba, destination_lba)


DC = 0x02
"""The bit that makes NUMBER OF BLOCKS count blocks of the destination."""


def byte_segment(
    source: int, source_lba: int, destination: int, destination_lba: int, count_bytes: int, *offsets: int
) -> bytes:
    """Return a segment descriptor that copies bytes. `offsets` are the byte offsets in the first source and destination
    blocks.
    """
    return struct.pack(
        ">BBHHHIQQHH", BYTES_TO_BYTES, 0, 0x1C, source, destination, count_bytes, source_lba, destination_lba, *offsets
    )


def copy_list(
    cscds: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = IDENTIFIER, usage: int = HELD, inline: bytes = b""
) -> bytes:
    """Return the parameter list of EXTENDED COPY (LID1)."""
    targets, copies = b"".join(cscds), b"".join(segments)
    header = struct.pack(">BBH4xII", identifier, usage << 3, len(targets), len(copies), len(inline))
    return header + targets + copies + inline


def copy_list_lid4(cscds: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = IDENTIFIER) -> bytes:
    """Return the parameter list of EXTENDED COPY (LID4)."""
    targets, copies = b"".join(cscds), b"".join(segments)
    header = bytes((1, HELD << 3, 0, 0x20)) + bytes(12) + b"\xff\0\0\0" + identifier.to_bytes(4, "big")
    return header + bytes(18) + struct.pack(">HHH", len(targets), len(copies), 0) + targets + copies


def cdb(list_bytes: int, *, is_lid4: bool = False) -> bytes:
    """Return the CDB of EXTENDED COPY."""
    return struct.pack(">BB8xIxx", 0x83, int(is_lid4), list_bytes)


def receive_cdb(action: int, identifier: int = IDENTIFIER, allocation_bytes: int = ALLOCATION_BYTES) -> bytes:
    """Return the CDB of a command that reports the result of an EXTENDED COPY, or its limits."""
    if action == COPY_STATUS_LID4:
        return struct.pack(">BBI4xIxx", 0x84, action, identifier, allocation_bytes)
    return struct.pack(">BBB7xIxx", 0x84, action, identifier, allocation_bytes)


async def copy(unit: Unit, cscds: Sequence[bytes], segments: Sequence[bytes], *, identifier: int = IDENTIFIER) -> None:
    """Send an EXTENDED COPY (LID1) that must end with GOOD."""
    data = copy_list(cscds, segments, identifier=identifier)
    await unit.good(cdb(len(data)), data)


async def refused(unit: Unit, data: bytes, *codes: str) -> None:
    """Send an EXTENDED COPY that must be refused with one of the sense codes."""
    await unit.refused(cdb(len(data)), *codes, data_out=data)


async def receive(unit: Unit, action: int, identifier: int = IDENTIFIER) -> bytes:
    """Return the data of a command that reports a result or the limits."""
    return await unit.good(receive_cdb(action, identifier), data_in_bytes=ALLOCATION_BYTES)


async def limit(unit: Unit, at: int, size_bytes: int) -> int:
    """Return a field of RECEIVE COPY OPERATING PARAMETERS."""
    answer = await receive(unit, OPERATING_PARAMETERS, 0)
    require_equal("length of the operating parameters is at least 44", len(answer) >= 44, True)
    return int.from_bytes(answer[at : at + size_bytes], "big")


def itself(unit: Unit) -> bytes:
    """Return a descriptor that names the LUN. Raises NotSupported if the LUN has no designator."""
    if not unit.identity or unit.identity[1] & 0x0F not in {NAA, EUI_64}:
        raise NotSupported("page 83h of the LUN has no NAA or EUI-64 designator")
    return cscd(unit.identity)
