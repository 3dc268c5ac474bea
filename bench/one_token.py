"""A copy by a single token, which covers the whole source. Windows does not copy in this way, but the array allows it."""

import time

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.disk import CommandFailed, Disk
from odx_target.initiator.sense import read_sense

POPULATE_IDENTIFIER, WRITE_IDENTIFIER = 0x7001, 0x7002


async def copy_by_one_token(source: Disk, destination: Disk, count_blocks: int) -> tuple[float, int]:
    """Copy the first blocks, and flush. Returns the seconds and the number of WRITE USING TOKEN commands.

    A command that reaches its time limit copies only a part, and the next command goes on. Raises CommandFailed if a command
    copies nothing.
    """
    began_s = time.perf_counter()
    token = await _token(source, count_blocks)
    done_blocks = writes = 0
    while done_blocks < count_blocks:
        ranges = [BlockRange(done_blocks, count_blocks - done_blocks)]
        data = write_using_token_list(token, ranges, offset_into_rod_blocks=done_blocks)
        result = await destination.command(cdb.write_using_token(WRITE_IDENTIFIER, len(data)), [data])
        writes += 1
        if result.status == 0:
            break
        sense = read_sense(result.sense)
        if sense is None or not sense.is_copy_underrun or not sense.information:
            raise CommandFailed("WRITE USING TOKEN", result)
        done_blocks += sense.information
    await destination.synchronize_cache()
    return time.perf_counter() - began_s, writes


async def _token(source: Disk, count_blocks: int) -> bytes:
    data = populate_token_list([BlockRange(0, count_blocks)])
    await source.write("POPULATE TOKEN", cdb.populate_token(POPULATE_IDENTIFIER, len(data)), [data])
    command = cdb.receive_rod_token_information(POPULATE_IDENTIFIER, ANSWER_ALLOCATION_BYTES)
    answer = await source.read("RECEIVE ROD TOKEN INFORMATION", command, ANSWER_ALLOCATION_BYTES)
    (token,) = read_rod_token_information(answer).tokens
    return token
