"""Checks of the results of token commands: RECEIVE ROD TOKEN INFORMATION, RECEIVE COPY STATUS and COPY OPERATION ABORT."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.token_copy.commands import (
    COUNT,
    DESTINATION,
    POPULATE,
    SOURCE,
    WRITE,
    information,
    information_bytes,
    make_token,
    populate,
    require_count,
    try_write,
    write_list,
    write_using,
)
from odx_target.conformance.token_copy.write import COPY, prepared
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import CopyOperationStatus
from odx_target.initiator.sense import describe_result, read_sense

TOKEN_ANSWER_BYTES = 550
"""Length of the answer to RECEIVE ROD TOKEN INFORMATION with a token and without sense data."""
WINDOWS_LIMIT_S = 4.0
"""Time in which Windows expects the end of WRITE USING TOKEN."""
MAX_TIMED_BYTES = 256 << 20
"""Size of the largest WRITE USING TOKEN of Windows."""
UNKNOWN_IDENTIFIER = "5/24/00"
FINISHED_DELAY = 0xFFFFFFFE


async def unknown_identifier(bench: Bench) -> None:
    await bench.first.refused(cdb.receive_rod_token_information(77, 1024), UNKNOWN_IDENTIFIER, data_in_bytes=1024)


async def whole_answer(bench: Bench) -> None:
    await populate(bench.first)
    answer = await information_bytes(bench.first, POPULATE)
    require_equal("length of the answer", len(answer), TOKEN_ANSWER_BYTES)
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), TOKEN_ANSWER_BYTES - 4)
    require_equal("ROD TOKEN DESCRIPTORS LENGTH", int.from_bytes(answer[32:36], "big"), 514)
    require_equal("ID of the creating ROD CSCD descriptor", answer[36:38], bytes(2))


async def update_delay(bench: Bench) -> None:
    await populate(bench.first)
    delay = (await information(bench.first)).update_delay_ms
    require(delay in {0, FINISHED_DELAY}, f"ESTIMATED STATUS UPDATE DELAY of a finished operation is {delay:#x}")


async def answer_of_a_write(bench: Bench) -> None:
    await prepared(bench.first)
    await write_using(bench.first, await make_token(bench.first))
    operation = await information(bench.first, WRITE)
    require_equal("RESPONSE TO SERVICE ACTION", operation.service_action, cdb.WRITE_USING_TOKEN)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED)
    require_equal("SEGMENTS PROCESSED", operation.segments_processed, 0)
    require_equal("ROD tokens", operation.tokens, ())
    require_count(operation, COUNT)


async def cut_answer_keeps_the_token(bench: Bench) -> None:
    await populate(bench.first)
    short = await information_bytes(bench.first, POPULATE, 32)
    require_equal("length of the answer", len(short), 32)
    require_equal("AVAILABLE DATA", int.from_bytes(short[:4], "big"), TOKEN_ANSWER_BYTES - 4)
    require_equal("number of ROD tokens", len((await information(bench.first)).tokens), 1)


async def identifier_used_again(bench: Bench) -> None:
    await populate(bench.first, [(SOURCE, 8)])
    await populate(bench.first, [(SOURCE, 16)])
    require_count(await information(bench.first), 16)


async def other_initiators_identifier(bench: Bench) -> None:
    await populate(bench.first, [(SOURCE, 8)])
    async with bench.other_initiator() as other:
        await other.refused(cdb.receive_rod_token_information(POPULATE, 1024), UNKNOWN_IDENTIFIER, data_in_bytes=1024)
        await populate(other, [(SOURCE, 16)])
        require_count(await information(other), 16)
    require_count(await information(bench.first), 8)


async def refusal_leaves_no_result(bench: Bench) -> None:
    unit = bench.first
    data = write_list(await make_token(unit), [(unit.capacity_blocks, 8)])
    await unit.refused(cdb.write_using_token(WRITE, len(data)), "5/21/00", data_out=data)
    result = await unit.command(cdb.receive_rod_token_information(WRITE, 1024), b"", 1024)
    if result.status == 0:
        require((await information(unit, WRITE)).status == CopyOperationStatus.COMPLETED_WITH_ERROR, "the result is no error")
    else:
        require_equal("sense of RECEIVE ROD TOKEN INFORMATION", sense_code(result), UNKNOWN_IDENTIFIER)


async def copy_status(bench: Bench) -> None:
    await populate(bench.first)
    answer = await bench.first.good(cdb.receive_copy_status(POPULATE, 1024), data_in_bytes=1024)
    expected = (await information_bytes(bench.first, POPULATE))[4:32]
    require_equal("AVAILABLE DATA", int.from_bytes(answer[:4], "big"), len(answer) - 4)
    require_equal("RECEIVE COPY STATUS without OPERATION COUNTER", answer[4:6] + answer[8:32], expected[:2] + expected[4:])


async def abort_of_nothing(bench: Bench) -> None:
    unit = bench.first
    result = await unit.command(cdb.copy_operation_abort(99))
    if sense_code(result) == "5/20/00":
        raise NotSupported("the target has no COPY OPERATION ABORT")
    require(sense_code(result) == UNKNOWN_IDENTIFIER, f"it ended with {describe_result(result)}, expected 24/00")


async def abort_of_a_finished_operation(bench: Bench) -> None:
    await populate(bench.first)
    result = await bench.first.command(cdb.copy_operation_abort(POPULATE))
    if sense_code(result) == "5/20/00":
        raise NotSupported("the target has no COPY OPERATION ABORT")
    require(sense_code(result) == UNKNOWN_IDENTIFIER, f"it ended with {describe_result(result)}, expected 24/00")
    require_count(await information(bench.first), COUNT)


async def reset_drops_results(bench: Bench) -> None:
    await populate(bench.first)
    require_equal("response to LOGICAL UNIT RESET", await bench.first.path.reset_logical_unit(bench.first.lun), 0)
    command = cdb.receive_rod_token_information(POPULATE, 1024)
    await bench.first.refused(command, UNKNOWN_IDENTIFIER, data_in_bytes=1024)


async def reset_of_another_unit(bench: Bench) -> None:
    await populate(bench.second)
    require_equal("response to LOGICAL UNIT RESET", await bench.first.path.reset_logical_unit(bench.first.lun), 0)
    require_count(await information(bench.second), COUNT)


async def reset_keeps_tokens(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    token = await make_token(unit)
    require_equal("response to LOGICAL UNIT RESET", await unit.path.reset_logical_unit(unit.lun), 0)
    result = await try_write(unit, token)
    if sense_code(result) == "5/23/08":
        raise NotSupported("the target cancels tokens at a reset")
    require(result.status == 0, f"WRITE USING TOKEN ended with {describe_result(result)}, expected GOOD")
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def token_of_another_path(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    async with bench.other_initiator() as other:
        token = await make_token(other)
        await write_using(unit, token)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def token_of_a_lost_path(bench: Bench) -> None:
    unit = bench.first
    data = await prepared(unit)
    async with bench.other_initiator() as other:
        token = await make_token(other)
    await write_using(unit, token)
    await unit.holds(DESTINATION, data[: COUNT * unit.block_bytes], COPY)


async def results_of_a_lost_path(bench: Bench) -> None:
    async with bench.other_initiator() as other:
        await populate(other)
    async with bench.other_initiator() as again:
        command = cdb.receive_rod_token_information(POPULATE, 1024)
        await again.refused(command, UNKNOWN_IDENTIFIER, data_in_bytes=1024)


async def four_seconds(bench: Bench) -> None:
    """Windows gives a WRITE USING TOKEN four seconds. A target that needs more must end it early with the true count."""
    unit = bench.first
    limits = unit.copy_limits
    sizes = [unit.capacity_blocks // 2, MAX_TIMED_BYTES // unit.block_bytes]
    count = min([*sizes, *filter(None, (limits.optimal_transfer_blocks, limits.max_token_transfer_blocks))])
    middle = unit.capacity_blocks // 2
    data = await unit.fill(1, 0, 8)
    end = await unit.fill(2, count - 8, 8)
    token = await make_token(unit, [(0, count)])
    began = bench.monotonic()
    result = await try_write(unit, token, [(middle, count)])
    elapsed_s = bench.monotonic() - began
    require(elapsed_s <= WINDOWS_LIMIT_S, f"WRITE USING TOKEN of {count} blocks took {elapsed_s:.1f} s")
    written = count
    if result.status:
        require(sense_code(result) in {"A/0D/04", "B/0D/04"}, f"it ended with {describe_result(result)}")
        sense = read_sense(result.sense)
        written = (sense.information if sense else 0) or 0
        require(0 < written < count, f"INFORMATION is {written}, expected 1 to {count - 1}")
    await unit.holds(middle, data[: min(8, written) * unit.block_bytes], COPY)
    if written == count:
        await unit.holds(middle + count - 8, end, COPY)


async def windows_sequence(bench: Bench) -> None:
    """Send the commands of a file copy by Windows: a token of two fragments, and its answer with 805 bytes of allocation."""
    unit = bench.first
    data, size = await prepared(unit), unit.block_bytes
    await populate(unit, [(SOURCE + 32, 32), (SOURCE, 24)], identifier=0)
    answer = await information_bytes(unit, 0, 805)
    require_equal("ROD TOKEN DESCRIPTORS LENGTH", int.from_bytes(answer[32:36], "big"), 514)
    require(
        answer[5] & 0x7F in {0x01, 0x03}, f"COPY OPERATION STATUS is {answer[5] & 0x7F:02X}h, which Windows does not accept"
    )
    token = answer[38:]
    await write_using(unit, token, [(DESTINATION + 8, 56)], identifier=1)
    await unit.holds(DESTINATION + 8, data[32 * size : 64 * size] + data[: 24 * size], COPY)


_INFORMATION, _STATUS, _ABORT, _IDENTIFIERS = "SPC-4 6.28", "SPC-4 6.24", "SPC-4 6.3", "SPC-4 5.16.4.2"
TOKEN = Need.TOKEN_COPY
_WRITES = TOKEN | Need.DESTRUCTIVE

CHECKS = (
    Check("token.result.unknown", _INFORMATION, "An unknown list identifier is refused", unknown_identifier, TOKEN),
    Check("token.result.answer", _INFORMATION, "The answer with a token has 550 bytes", whole_answer, TOKEN),
    Check("token.result.delay", _INFORMATION, "A finished operation reports no further delay", update_delay, TOKEN),
    Check("token.result.write", _INFORMATION, "The result of a write has a count and no token", answer_of_a_write, _WRITES),
    Check("token.result.cut", _INFORMATION, "A short allocation length keeps the token", cut_answer_keeps_the_token, TOKEN),
    Check("token.result.again", _IDENTIFIERS, "A list identifier can be used again", identifier_used_again, TOKEN),
    Check(
        "token.result.initiators",
        _IDENTIFIERS,
        "Each initiator has its own list identifiers",
        other_initiators_identifier,
        TOKEN,
    ),
    Check(
        "token.result.refusal", _INFORMATION, "A refused command leaves no successful result", refusal_leaves_no_result, TOKEN
    ),
    Check("token.result.status", _STATUS, "RECEIVE COPY STATUS (LID4) reports the same operation", copy_status, TOKEN),
    Check("token.abort.nothing", _ABORT, "The abort of an unknown operation is refused", abort_of_nothing, TOKEN),
    Check("token.abort.finished", _ABORT, "The abort of a finished operation is refused", abort_of_a_finished_operation, TOKEN),
    Check("token.event.reset-results", "SPC-4 5.16.4.3", "LOGICAL UNIT RESET drops the results", reset_drops_results, _WRITES),
    Check(
        "token.event.reset-other",
        "SPC-4 5.16.4.3",
        "LOGICAL UNIT RESET keeps the results of other LUNs",
        reset_of_another_unit,
        _WRITES | Need.SECOND_LUN,
    ),
    Check("token.event.reset-tokens", "SPC-4 5.16.6.5", "LOGICAL UNIT RESET keeps the tokens", reset_keeps_tokens, _WRITES),
    Check("token.event.path", "SPC-4 5.16.6", "A token can be used through another session", token_of_another_path, _WRITES),
    Check("token.event.lost-path", "SPC-4 5.16.6.5", "The end of a session keeps the tokens", token_of_a_lost_path, _WRITES),
    Check(
        "token.event.lost-results", "SPC-4 5.16.4.3", "The end of a session drops its results", results_of_a_lost_path, TOKEN
    ),
    Check("token.windows.4-seconds", "Windows", "WRITE USING TOKEN ends within 4 seconds", four_seconds, _WRITES),
    Check("token.windows.copy", "Windows", "The commands of a file copy by Windows succeed", windows_sequence, _WRITES),
)
