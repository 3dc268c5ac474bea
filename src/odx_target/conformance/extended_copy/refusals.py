"""Checks of the parameter lists that EXTENDED COPY must refuse (SPC-4 6.4)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.extended_copy.commands import (
    BYTES_TO_BYTES,
    COUNT,
    DESTINATION,
    NO_IDENTIFIER,
    SOURCE,
    byte_segment,
    cdb,
    copy_list,
    cscd,
    itself,
    limit,
    refused,
    segment,
)
from odx_target.conformance.extended_copy.copies import NEW, needs_type, prepared
from odx_target.conformance.faults import NotSupported
from odx_target.conformance.unit import Unit, pattern

LIST_LENGTH, INVALID_LIST = "5/1A/00", "5/26/00"
MAX_COUNT = 256
"""Largest limit that a check exceeds. The parameter list would be long for a larger limit."""
MAX_SEGMENT_BLOCKS, MAX_SEGMENT_BYTES = 0xFFFF, 0xFFFFFFFF
"""Largest values of the length fields of segment descriptors."""
ONE = segment(0, SOURCE, 0, DESTINATION, COUNT)


async def refused_without_writing(unit: Unit, data: bytes, *codes: str) -> None:
    """Send a command that must be refused, and must not write to the destination."""
    await prepared(unit, unit)
    await refused(unit, data, *codes)
    await unit.holds(DESTINATION, pattern(NEW, COUNT, unit.block_bytes), "its old content after a refused copy")


async def short_header(bench: Bench) -> None:
    await refused(bench.first, copy_list([], [])[:15], LIST_LENGTH)


async def cut_segment(bench: Bench) -> None:
    data = copy_list([itself(bench.first)], [ONE])
    await refused_without_writing(bench.first, data[:-1], LIST_LENGTH)


async def unknown_cscd_type(bench: Bench) -> None:
    data = copy_list([b"\xdf" + itself(bench.first)[1:]], [ONE])
    await refused_without_writing(bench.first, data, "5/26/07", "A/26/07")


async def unknown_segment_type(bench: Bench) -> None:
    bad = segment(0, SOURCE, 0, DESTINATION, COUNT, kind=0xBF)
    await refused_without_writing(bench.first, copy_list([itself(bench.first)], [bad]), "5/26/09", "A/26/09")


async def unknown_index(bench: Bench) -> None:
    bad = segment(1, SOURCE, 0, DESTINATION, COUNT)
    await refused_without_writing(bench.first, copy_list([itself(bench.first)], [bad]), "A/08/04", "A/0D/02", "5/26/00")


async def unknown_designator(bench: Bench) -> None:
    itself(bench.first)
    descriptor = bytearray(bench.first.identity)
    descriptor[5:] = bytes(byte ^ 0xFF for byte in descriptor[5:])
    data = copy_list([cscd(bytes(descriptor))], [ONE])
    await refused_without_writing(bench.first, data, "A/0D/02", "A/08/04", "5/26/00")


async def wrong_device_type(bench: Bench) -> None:
    named = itself(bench.first)
    data = copy_list([named[:1] + b"\x01" + named[2:]], [ONE])
    await refused_without_writing(bench.first, data, "A/0D/03", "5/26/07", "A/0D/02", "5/26/00")


async def too_many_cscds(bench: Bench) -> None:
    count = await limit(bench.first, 8, 2)
    if count > MAX_COUNT:
        raise NotSupported(f"the target accepts more than {MAX_COUNT} CSCD descriptors")
    data = copy_list([itself(bench.first)] * (count + 1), [ONE])
    await refused_without_writing(bench.first, data, "5/26/06", LIST_LENGTH)


async def too_many_segments(bench: Bench) -> None:
    count = await limit(bench.first, 10, 2)
    if count > MAX_COUNT:
        raise NotSupported(f"the target accepts more than {MAX_COUNT} segment descriptors")
    data = copy_list([itself(bench.first)], [ONE] * (count + 1))
    await refused_without_writing(bench.first, data, "5/26/08", LIST_LENGTH)


async def beyond_the_last_block(bench: Bench) -> None:
    bad = segment(0, bench.first.capacity_blocks - 1, 0, DESTINATION, COUNT)
    codes = ("A/0D/02", "A/08/04", "A/00/00", "A/21/00", "A/0D/01", "5/21/00", "5/26/00")
    await refused_without_writing(bench.first, copy_list([itself(bench.first)], [bad]), *codes)


async def destination_beyond(bench: Bench) -> None:
    unit = bench.first
    before = await unit.read(unit.capacity_blocks - 8, 8)
    bad = segment(0, SOURCE, 0, unit.capacity_blocks - 8, 16)
    codes = ("A/0D/02", "A/08/04", "A/00/00", "A/21/00", "A/0D/01", "5/21/00", "5/26/00")
    await refused(unit, copy_list([itself(unit)], [bad]), *codes)
    await unit.holds(unit.capacity_blocks - 8, before, "its old content after a refused copy")


async def too_long_segment(bench: Bench) -> None:
    unit = bench.first
    longest_bytes = await limit(unit, 16, 4)
    if not 0 < longest_bytes < MAX_SEGMENT_BYTES:
        raise NotSupported("the target reports no MAXIMUM SEGMENT LENGTH that one segment can exceed")
    if longest_bytes // unit.block_bytes < MAX_SEGMENT_BLOCKS:
        long = segment(0, SOURCE, 0, DESTINATION, longest_bytes // unit.block_bytes + 1)
    else:
        await needs_type(unit, BYTES_TO_BYTES)
        long = byte_segment(0, SOURCE, 0, DESTINATION, longest_bytes + 1, 0, 0)
    await refused_without_writing(unit, copy_list([itself(unit)], [long]), "A/26/00", "5/26/00", "A/0D/02", "5/26/08")


async def inline_data(bench: Bench) -> None:
    size_bytes = await limit(bench.first, 20, 4)
    if size_bytes > MAX_COUNT:
        raise NotSupported(f"the target accepts more than {MAX_COUNT} bytes of inline data")
    data = copy_list([itself(bench.first)], [ONE], inline=bytes(size_bytes + 1))
    await refused_without_writing(bench.first, data, "5/26/0B", LIST_LENGTH)


async def identifier_without_usage(bench: Bench) -> None:
    data = copy_list([itself(bench.first)], [ONE], usage=NO_IDENTIFIER)
    await refused_without_writing(bench.first, data, INVALID_LIST)


async def reserved_usage(bench: Bench) -> None:
    await refused_without_writing(bench.first, copy_list([itself(bench.first)], [ONE], usage=0b01), INVALID_LIST)


async def reserved_service_action(bench: Bench) -> None:
    data = copy_list([itself(bench.first)], [ONE])
    await bench.first.refused(b"\x83\x1f" + cdb(len(data))[2:], "5/24/00", "5/20/00", data_out=data)


_CLAUSE = "SPC-4 6.4"
XCOPY = Need.EXTENDED_COPY
WRITES = XCOPY | Need.DESTRUCTIVE

CHECKS = (
    Check("xcopy.refuse.header", _CLAUSE, "A parameter list without a whole header is refused", short_header, XCOPY),
    Check("xcopy.refuse.cut", _CLAUSE, "A parameter list that ends in a segment is refused", cut_segment, WRITES),
    Check("xcopy.refuse.cscd-type", _CLAUSE, "An unknown CSCD descriptor type is refused", unknown_cscd_type, WRITES),
    Check("xcopy.refuse.segment-type", _CLAUSE, "An unknown segment descriptor type is refused", unknown_segment_type, WRITES),
    Check("xcopy.refuse.index", _CLAUSE, "A CSCD descriptor ID without a descriptor is refused", unknown_index, WRITES),
    Check("xcopy.refuse.designator", _CLAUSE, "A designator that names no LUN is refused", unknown_designator, WRITES),
    Check("xcopy.refuse.device-type", _CLAUSE, "A wrong peripheral device type is refused", wrong_device_type, WRITES),
    Check("xcopy.refuse.cscds", _CLAUSE, "One CSCD descriptor too many is refused", too_many_cscds, WRITES),
    Check("xcopy.refuse.segments", _CLAUSE, "One segment descriptor too many is refused", too_many_segments, WRITES),
    Check("xcopy.refuse.source", _CLAUSE, "A source beyond the last block is refused", beyond_the_last_block, WRITES),
    Check("xcopy.refuse.destination", _CLAUSE, "A destination beyond the last block is refused", destination_beyond, WRITES),
    Check("xcopy.refuse.segment-length", _CLAUSE, "A segment that is too long is refused", too_long_segment, WRITES),
    Check("xcopy.refuse.inline", _CLAUSE, "Inline data that is too long is refused", inline_data, WRITES),
    Check(
        "xcopy.refuse.identifier",
        _CLAUSE,
        "A list identifier is refused if the usage allows none",
        identifier_without_usage,
        WRITES,
    ),
    Check("xcopy.refuse.usage", _CLAUSE, "The reserved LIST ID USAGE is refused", reserved_usage, WRITES),
    Check("xcopy.refuse.action", "SPC-4 6.3", "A reserved service action is refused", reserved_service_action, XCOPY),
)
