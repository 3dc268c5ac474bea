"""Commands on blocks that are at another array which is away: hosts must repeat them, and nothing has changed."""

import pytest

from odx_target.store.api import SourceAway
from tests.scsi.array import UnitUnderTest, code_of, data_of

BECOMING_READY = (2, 0x04, 1)
LBA = 17
"""A logical block of 512 bytes in the middle of store block 2, which is missing."""


def transfer(code, lba, count):
    return bytes((code, 0)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


READ, WRITE, WRITE_SAME, VERIFY = 0x88, 0x8A, 0x93, 0x8F
COMPARE_AND_WRITE = bytes((0x89, 0)) + LBA.to_bytes(8, "big") + bytes((0, 0, 0, 1, 0, 0))


class MissingBlocks(UnitUnderTest):
    """A unit whose store block 2 must be fetched. `is_away` decides whether this fails."""

    def __init__(self):
        super().__init__()
        self.is_away = True
        self.volume.is_cold = lambda: True
        read = self.volume.read

        async def fetched(block, count):
            if self.is_away and block <= 2 < block + count:
                raise SourceAway("the old array does not answer")
            return await read(block, count)

        self.volume.read = fetched


@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        (transfer(READ, LBA, 1), b""),
        (transfer(READ, 0, 64), b""),
        (transfer(WRITE, LBA, 1), b"w" * 512),
        (transfer(WRITE, 8, 10), b"w" * 5120),
        (transfer(WRITE_SAME, LBA, 2), b"s" * 512),
        (transfer(VERIFY, LBA, 1), b""),
        (COMPARE_AND_WRITE, bytes(512) + b"c" * 512),
    ],
    ids=["read", "long read", "write", "write of two edges", "write same", "verify", "compare and write"],
)
def test_commands_that_need_a_missing_block_are_repeated(cdb, data):
    unit = MissingBlocks()
    assert code_of(unit.command(cdb, data)) == BECOMING_READY
    assert not unit.volume.blocks
    assert not unit.logical_unit.blocks._awaited
    assert not unit.internal_errors
    unit.is_away = False
    assert unit.command(cdb, data).status == 0


def test_whole_blocks_are_written_without_the_other_array():
    unit = MissingBlocks()
    assert unit.command(transfer(WRITE, 16, 8), b"w" * 4096).status == 0
    assert unit.command(transfer(WRITE_SAME, 16, 16), b"s" * 512).status == 0
    unit.is_away = False
    assert data_of(unit.command(transfer(READ, 16, 16))) == b"s" * 8192
