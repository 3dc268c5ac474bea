"""Tests of the fingerprints: their format, and the turns in which many of them are computed."""

import pytest
import trio
from blake3 import blake3

from odx_target.replica.blocks.fingerprints import fingerprints_in_turns, fingerprints_of
from odx_target.replica.blocks.formats import FINGERPRINT_BYTES, cut
from odx_target.replica.blocks.limits import TURN_BLOCKS
from odx_target.store.api import BLOCK_BYTES
from odx_target.turns import SHORT_TURNS_AFTER_HOSTS, STEPS_BESIDE_HOSTS, STEPS_OF_A_TURN, Turns


def content_of(count: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") * (BLOCK_BYTES // 4) for number in range(count))


@pytest.mark.parametrize("key", [bytes(32), bytes([1]) * 32])
def test_fingerprints_are_the_first_bytes_of_keyed_hashes(key: bytes) -> None:
    content = content_of(7)
    hashes = [blake3(content[at : at + BLOCK_BYTES], key=key).digest() for at in range(0, len(content), BLOCK_BYTES)]
    assert cut(fingerprints_of(key, memoryview(content))) == [each[:FINGERPRINT_BYTES] for each in hashes]
    assert len({*hashes, bytes(32)}) == 8


@pytest.mark.parametrize("hosts_are_near", [False, True])
def test_other_tasks_run_while_many_fingerprints_are_computed(*, hosts_are_near: bool) -> None:
    turns = Turns(trio.Event, trio.lowlevel.checkpoint)
    contents = [memoryview(content_of(count)) for count in (1000, 1, 1, 300)]

    async def compute() -> tuple[bytes, int]:
        if hosts_are_near:
            turns.hosts_were_served()
            await turns.next()
        before = turns.taken
        return await fingerprints_in_turns(bytes(32), contents, turns), turns.taken - before

    found, taken = trio.run(compute)
    assert found == b"".join(fingerprints_of(bytes(32), content) for content in contents)
    if hosts_are_near:
        assert taken >= SHORT_TURNS_AFTER_HOSTS - 1 >= 1000 // STEPS_BESIDE_HOSTS - 1
    else:
        assert 1302 // (STEPS_OF_A_TURN + TURN_BLOCKS) <= taken <= 1302 // STEPS_OF_A_TURN + 1
