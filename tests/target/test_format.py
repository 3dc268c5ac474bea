"""FORMAT UNIT with IMMED over a session, and the end of an array during a format operation."""

from odx_target.initiator import cdb
from tests.target.raw_peer import logged_in
from tests.target.running import running
from tests.target.test_expected_lengths import BEFORE, COUNT_BLOCKS, KEEP, content, send

FORMAT_IN_BACKGROUND = bytes.fromhex("04 10 00 00 00 00"), bytes.fromhex("00 02 00 00")
MAX_POLLS = 10_000


async def test_a_host_polls_a_format_until_it_ends() -> None:
    async with running() as array, logged_in(array) as peer:
        await peer.status_of(peer.write(cdb.write_16(0, COUNT_BLOCKS), KEEP), BEFORE)
        response, _ = await send(peer, *FORMAT_IN_BACKGROUND)
        assert response.status == 0
        for _ in range(MAX_POLLS):
            response, sense = await send(peer, bytes(6), b"", "none")
            if not response.status:
                break
            assert (sense[2] & 0xF, sense[12], sense[13]) == (2, 0x04, 0x04)
        assert await content(peer) == bytes(KEEP)


async def test_an_array_stops_during_a_format() -> None:
    async with running() as array, logged_in(array) as peer:
        response, _ = await send(peer, *FORMAT_IN_BACKGROUND)
        assert response.status == 0
    assert all(unit.is_ready for unit in array.logical_units.values())
