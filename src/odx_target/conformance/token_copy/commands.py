"""The token commands of checks, with the answers that they must have."""

from collections.abc import Sequence

from odx_target.conformance.faults import CheckFailed, require_equal
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    BLOCKS,
    TOKEN_BYTES,
    BlockRange,
    CopyOperation,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.result import CommandResult

POPULATE = 1
WRITE = 2
"""List identifiers of the commands of a check. Each check has its own session, so all checks may use the same values."""
SOURCE = 0
DESTINATION = 4096
"""First blocks of the areas that checks read and write. Both areas are smaller than 2048 blocks."""
AREA_BLOCKS = DESTINATION + 2048
COUNT = 64
"""Number of blocks of a copy whose size does not matter."""
MAX_POLLS = 200
POLL_DELAY_S = 0.1

Ranges = Sequence[tuple[int, int]]
ONE: Ranges = ((SOURCE, COUNT),)
OTHER: Ranges = ((DESTINATION, COUNT),)


def populate_list(ranges: Ranges, *, timeout_s: int = 0, rod_type: int | None = None, immediate: bool = False) -> bytes:
    """Return the parameter list of POPULATE TOKEN."""
    described = [BlockRange(*part) for part in ranges]
    return populate_token_list(described, inactivity_timeout_s=timeout_s, rod_type=rod_type, immediate=immediate)


def write_list(token: bytes, ranges: Ranges, *, offset: int = 0, delete: bool = False, immediate: bool = False) -> bytes:
    """Return the parameter list of WRITE USING TOKEN. `offset` is a number of blocks."""
    described = [BlockRange(*part) for part in ranges]
    return write_using_token_list(token, described, offset_into_rod_blocks=offset, delete_token=delete, immediate=immediate)


async def populate(unit: Unit, ranges: Ranges = ONE, *, identifier: int = POPULATE, **fields: int) -> None:
    """Send a POPULATE TOKEN that must end with GOOD."""
    data = populate_list(ranges, **fields)  # type: ignore[arg-type]
    await unit.good(cdb.populate_token(identifier, len(data)), data)


async def make_token(unit: Unit, ranges: Ranges = ONE, *, identifier: int = POPULATE, **fields: int) -> bytes:
    """Make a token and return its 512 bytes."""
    await populate(unit, ranges, identifier=identifier, **fields)
    return await fetch_token(unit, identifier)


async def fetch_token(unit: Unit, identifier: int = POPULATE) -> bytes:
    """Return the token of a finished POPULATE TOKEN."""
    operation = await information(unit, identifier)
    require_equal("number of ROD tokens", len(operation.tokens), 1)
    token = operation.tokens[0]
    require_equal("length of the ROD token", len(token), TOKEN_BYTES)
    return token


async def information_bytes(unit: Unit, identifier: int, allocation_bytes: int = ANSWER_ALLOCATION_BYTES) -> bytes:
    """Return the whole answer of RECEIVE ROD TOKEN INFORMATION."""
    command = cdb.receive_rod_token_information(identifier, allocation_bytes)
    return await unit.good(command, data_in_bytes=allocation_bytes)


async def information(unit: Unit, identifier: int = POPULATE) -> CopyOperation:
    """Return the decoded answer of RECEIVE ROD TOKEN INFORMATION."""
    try:
        return read_rod_token_information(await information_bytes(unit, identifier))
    except BadAnswer as error:
        raise CheckFailed(str(error)) from error


async def finished(unit: Unit, identifier: int) -> CopyOperation:
    """Poll an operation until it has ended."""
    for _ in range(MAX_POLLS):
        operation = await information(unit, identifier)
        if not IN_PROGRESS <= operation.status <= IN_PROGRESS_LAST:
            return operation
        await unit.sleep(POLL_DELAY_S)
    raise CheckFailed(f"the operation is still in progress after {MAX_POLLS * POLL_DELAY_S:g} s")


IN_PROGRESS, IN_PROGRESS_LAST = 0x10, 0x12


async def write_using(unit: Unit, token: bytes, ranges: Ranges = OTHER, *, identifier: int = WRITE, **fields: int) -> None:
    """Send a WRITE USING TOKEN that must end with GOOD."""
    data = write_list(token, ranges, **fields)  # type: ignore[arg-type]
    await unit.good(cdb.write_using_token(identifier, len(data)), data)


async def try_write(
    unit: Unit, token: bytes, ranges: Ranges = OTHER, *, identifier: int = WRITE, **fields: int
) -> CommandResult:
    """Send a WRITE USING TOKEN, and return its result whatever it is."""
    data = write_list(token, ranges, **fields)  # type: ignore[arg-type]
    return await unit.command(cdb.write_using_token(identifier, len(data)), data)


async def write_refused(
    unit: Unit, token: bytes, *codes: str, ranges: Ranges = OTHER, identifier: int = WRITE, **fields: int
) -> None:
    """Send a WRITE USING TOKEN that must be refused with one of the sense codes, and must not write."""
    before = [await unit.read(lba, min(count, COUNT)) for lba, count in ranges if lba + count <= unit.capacity_blocks]
    data = write_list(token, ranges, **fields)  # type: ignore[arg-type]
    await unit.refused(cdb.write_using_token(identifier, len(data)), *codes, data_out=data)
    readable = [part for part in ranges if sum(part) <= unit.capacity_blocks]
    for (lba, _), content in zip(readable, before, strict=True):
        await unit.holds(lba, content, "its old content after a refused WRITE USING TOKEN")


def require_count(operation: CopyOperation, count_blocks: int) -> None:
    """Fail unless an operation reports this number of logical blocks."""
    require_equal("TRANSFER COUNT UNITS", operation.transfer_count_units, BLOCKS)
    require_equal("TRANSFER COUNT", operation.transfer_count, count_blocks)
