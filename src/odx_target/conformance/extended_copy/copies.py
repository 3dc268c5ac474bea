"""Checks of the data that EXTENDED COPY copies, and of its limits and results."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.extended_copy.commands import (
    AREA_BLOCKS,
    BLOCKS_TO_BLOCKS,
    BYTES_TO_BYTES,
    COPY_STATUS,
    COPY_STATUS_LID4,
    COUNT,
    DESTINATION,
    FAILURE_DETAILS,
    IDENTIFICATION,
    OPERATING_PARAMETERS,
    SOURCE,
    byte_segment,
    cdb,
    copy,
    copy_list,
    copy_list_lid4,
    itself,
    limit,
    receive,
    receive_cdb,
    refused,
    segment,
)
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import Unit, pattern

COPY = "the data of the source"
OLD, NEW = 3, 4
"""Seeds of the content of the source and the destination."""


async def prepared(source: Unit, destination: Unit) -> bytes:
    """Fill the source and destination areas, and return the content of the source."""
    for unit in (source, destination):
        if unit.capacity_blocks < AREA_BLOCKS:
            raise NotSupported(f"the LUN has fewer than {AREA_BLOCKS} blocks")
    await destination.fill(NEW, DESTINATION, 2 * COUNT)
    return await source.fill(OLD, SOURCE, 2 * COUNT)


async def supported_types(unit: Unit) -> bytes:
    """Return the descriptor type codes that the target supports."""
    answer = await receive(unit, OPERATING_PARAMETERS, 0)
    return answer[44 : 44 + answer[43]]


async def needs_type(unit: Unit, kind: int) -> None:
    """Raise NotSupported unless the target supports a type of descriptors."""
    if kind not in await supported_types(unit):
        raise NotSupported(f"the target does not support descriptors of the type {kind:02X}h")


async def needs_two_segments(unit: Unit) -> None:
    """Raise NotSupported unless a command may have two segments."""
    if await limit(unit, 10, 2) < 2:
        raise NotSupported("the target accepts only one segment in a command")


async def within_one_unit(bench: Bench) -> None:
    await _whole_blocks(bench.first, bench.first)


async def between_units(bench: Bench) -> None:
    await _whole_blocks(bench.first, bench.second)


async def back_between_units(bench: Bench) -> None:
    await _whole_blocks(bench.second, bench.first)


async def _whole_blocks(source: Unit, destination: Unit) -> None:
    if source.block_bytes != destination.block_bytes:
        raise NotSupported("the block lengths of the LUNs differ")
    data, size = await prepared(source, destination), source.block_bytes
    await copy(source, [itself(source), itself(destination)], [segment(0, SOURCE, 1, DESTINATION, COUNT)])
    await destination.holds(DESTINATION, data[: COUNT * size], COPY)
    old = pattern(NEW, 2 * COUNT, size)
    await destination.holds(DESTINATION + COUNT, old[COUNT * size :], "its old content behind the copy")


async def sent_to_the_destination(bench: Bench) -> None:
    source, destination = bench.first, bench.second
    if source.block_bytes != destination.block_bytes:
        raise NotSupported("the block lengths of the LUNs differ")
    data = await prepared(source, destination)
    await copy(destination, [itself(source), itself(destination)], [segment(0, SOURCE, 1, DESTINATION, COUNT)])
    await destination.holds(DESTINATION, data[: COUNT * source.block_bytes], COPY)


async def unaligned(bench: Bench) -> None:
    unit = bench.first
    data, size = await prepared(unit, unit), unit.block_bytes
    await copy(unit, [itself(unit)], [segment(0, SOURCE + 3, 0, DESTINATION + 1, 21)])
    await unit.holds(DESTINATION + 1, data[3 * size : 24 * size], COPY)
    await unit.holds(DESTINATION + 22, pattern(NEW, 30, size)[22 * size :], "its old content behind the copy")


async def several_segments(bench: Bench) -> None:
    unit = bench.first
    await needs_two_segments(unit)
    data, size = await prepared(unit, unit), unit.block_bytes
    segments = [segment(0, SOURCE + 16, 0, DESTINATION, 8), segment(0, SOURCE, 0, DESTINATION + 32, 8)]
    await copy(unit, [itself(unit)], segments)
    await unit.holds(DESTINATION, data[16 * size : 24 * size], COPY)
    await unit.holds(DESTINATION + 32, data[: 8 * size], COPY)


async def segments_in_order(bench: Bench) -> None:
    unit = bench.first
    await needs_two_segments(unit)
    data, size = await prepared(unit, unit), unit.block_bytes
    segments = [segment(0, SOURCE, 0, DESTINATION, 8), segment(0, DESTINATION, 0, DESTINATION + 64, 8)]
    await copy(unit, [itself(unit)], segments)
    await unit.holds(DESTINATION + 64, data[: 8 * size], "the data that the first segment has written")


async def last_block(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit, unit)
    await copy(unit, [itself(unit)], [segment(0, SOURCE, 0, unit.capacity_blocks - 8, 8)])
    await unit.holds(unit.capacity_blocks - 8, data[: 8 * unit.block_bytes], COPY)


async def no_blocks(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit, unit)
    await copy(unit, [itself(unit)], [segment(0, SOURCE, 0, DESTINATION, 0)])
    await unit.holds(DESTINATION, pattern(NEW, COUNT, unit.block_bytes), "its old content")


async def byte_offsets(bench: Bench) -> None:
    unit = bench.first
    await needs_type(unit, BYTES_TO_BYTES)
    data, size = await prepared(unit, unit), unit.block_bytes
    await copy(unit, [itself(unit)], [byte_segment(0, SOURCE + 1, 0, DESTINATION, 1000, 7, 100)])
    old = pattern(NEW, 2 * COUNT, size)[: 16 * size]
    whole = old[:100] + data[size + 7 : size + 1007] + old[1100:]
    await unit.holds(DESTINATION, whole, "the bytes of the source between its old bytes")


async def no_list(bench: Bench) -> None:
    await bench.first.good(cdb(0))


async def no_segments(bench: Bench) -> None:
    await copy(bench.first, [itself(bench.first)], [])


async def long_form(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit, unit)
    parameters = copy_list_lid4([itself(unit)], [segment(0, SOURCE, 0, DESTINATION, COUNT)])
    await unit.good(cdb(len(parameters), is_lid4=True), parameters)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def long_form_status(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit, unit)
    parameters = copy_list_lid4([itself(unit)], [segment(0, SOURCE, 0, DESTINATION, COUNT)])
    await unit.good(cdb(len(parameters), is_lid4=True), parameters)
    answer = await receive(unit, COPY_STATUS_LID4)
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), len(answer) - 4)
    require_equal("COPY OPERATION STATUS", answer[5] & 0x7F, 0x01)
    require_equal("SEGMENTS PROCESSED", int.from_bytes(answer[24:26], "big"), 1)


async def status_of_a_copy(bench: Bench) -> None:
    unit = bench.first
    await prepared(unit, unit)
    await copy(unit, [itself(unit)], [segment(0, SOURCE, 0, DESTINATION, 8)])
    answer = await receive(unit, COPY_STATUS)
    require(len(answer) >= 12, f"the copy status has {len(answer)} bytes, expected 12")
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), 8)
    require_equal("COPY COMMAND STATUS", answer[4] & 0x7F, 0x01)
    require_equal("SEGMENTS PROCESSED", int.from_bytes(answer[5:7], "big"), 1)


async def status_of_a_failure(bench: Bench) -> None:
    unit = bench.first
    await refused(unit, copy_list([itself(unit)], [segment(0, SOURCE, 5, DESTINATION, 8)]), "A/08/04", "A/0D/02", "5/26/00")
    answer = await receive(unit, COPY_STATUS)
    require_equal("COPY COMMAND STATUS", answer[4] & 0x7F, 0x02)


async def failure_details(bench: Bench) -> None:
    unit = bench.first
    parameters = copy_list([itself(unit)], [segment(0, SOURCE, 5, DESTINATION, 8)])
    result = await unit.command(cdb(len(parameters)), parameters)
    answer = await receive(unit, FAILURE_DETAILS)
    require_equal("EXTENDED COPY COMMAND STATUS", answer[56], result.status)
    require_equal("sense data in the failure details", answer[60 : 60 + int.from_bytes(answer[58:60], "big")], result.sense)


async def unknown_identifier(bench: Bench) -> None:
    await bench.first.refused(receive_cdb(COPY_STATUS, 99), "5/24/00", data_in_bytes=1024)


async def parameters_length(bench: Bench) -> None:
    answer = await receive(bench.first, OPERATING_PARAMETERS, 0)
    require(len(answer) >= 44, f"the operating parameters have {len(answer)} bytes, expected 44 or more")
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), len(answer) - 4)
    require_equal("length of the operating parameters", len(answer), 44 + answer[43])


async def parameters_counts(bench: Bench) -> None:
    answer = await receive(bench.first, OPERATING_PARAMETERS, 0)
    require(int.from_bytes(answer[8:10], "big") >= 2, "MAXIMUM CSCD DESCRIPTOR COUNT is under 2")
    require(int.from_bytes(answer[10:12], "big") >= 1, "MAXIMUM SEGMENT DESCRIPTOR COUNT is 0")
    require(int.from_bytes(answer[12:16], "big") >= 92, "MAXIMUM DESCRIPTOR LIST LENGTH has no room for one copy")


async def parameters_types(bench: Bench) -> None:
    types = await supported_types(bench.first)
    require(list(types) == sorted(set(types)), f"the descriptor type codes are not in ascending order: {types.hex(' ')}")
    require(IDENTIFICATION in types, "the descriptor type E4h is not listed")
    require(BLOCKS_TO_BLOCKS in types, "the descriptor type 02h is not listed")


async def third_party_copy_bit(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("120000006000"), data_in_bytes=96)
    require(bool(data[5] & 0x08), "the 3PC bit of the standard INQUIRY data is 0")


_COPY, _STATUS, _DETAILS, _PARAMETERS = "SPC-4 6.4", "SPC-4 6.25", "SPC-4 6.22", "SPC-4 6.23"
XCOPY = Need.EXTENDED_COPY
WRITES = XCOPY | Need.DESTRUCTIVE
_TWO = WRITES | Need.SECOND_LUN

CHECKS = (
    Check("xcopy.parameters.3pc", "SPC-4 6.6.2", "The 3PC bit of the standard INQUIRY data is 1", third_party_copy_bit, XCOPY),
    Check("xcopy.parameters.length", _PARAMETERS, "The lengths of the operating parameters agree", parameters_length, XCOPY),
    Check("xcopy.parameters.counts", _PARAMETERS, "The limits leave room for one copy", parameters_counts, XCOPY),
    Check("xcopy.parameters.types", _PARAMETERS, "The descriptor types E4h and 02h are listed", parameters_types, XCOPY),
    Check("xcopy.copy.same-lun", _COPY, "A segment copies within a LUN", within_one_unit, WRITES),
    Check("xcopy.copy.other-lun", _COPY, "A segment copies to another LUN", between_units, _TWO),
    Check("xcopy.copy.back", _COPY, "A segment copies from the second LUN to the first", back_between_units, _TWO),
    Check("xcopy.copy.destination", _COPY, "The destination of a copy may receive the command", sent_to_the_destination, _TWO),
    Check("xcopy.copy.unaligned", _COPY, "Segments need not be aligned to physical blocks", unaligned, WRITES),
    Check("xcopy.copy.segments", _COPY, "A command copies several segments", several_segments, WRITES),
    Check("xcopy.copy.order", _COPY, "A segment sees the data of earlier segments", segments_in_order, WRITES),
    Check("xcopy.copy.last", _COPY, "A segment may end at the last block", last_block, WRITES),
    Check("xcopy.copy.no-blocks", _COPY, "A segment of no blocks is no error", no_blocks, WRITES),
    Check("xcopy.copy.bytes", "SPC-4 6.4.6.11", "A segment of the type 0Ah copies bytes", byte_offsets, WRITES),
    Check("xcopy.copy.no-list", _COPY, "A command without a parameter list does nothing", no_list, XCOPY),
    Check("xcopy.copy.no-segments", _COPY, "A parameter list without segments does nothing", no_segments, XCOPY),
    Check("xcopy.copy.lid4", "SPC-4 6.5", "EXTENDED COPY (LID4) copies", long_form, WRITES),
    Check("xcopy.result.lid4", "SPC-4 6.24", "RECEIVE COPY STATUS (LID4) reports a copy", long_form_status, WRITES),
    Check("xcopy.result.status", _STATUS, "RECEIVE COPY STATUS (LID1) reports a copy", status_of_a_copy, WRITES),
    Check("xcopy.result.failure", _STATUS, "RECEIVE COPY STATUS (LID1) reports a failure", status_of_a_failure, WRITES),
    Check("xcopy.result.details", _DETAILS, "The failure details have the sense data", failure_details, WRITES),
    Check("xcopy.result.unknown", _STATUS, "An unknown list identifier is refused", unknown_identifier, XCOPY),
)
