"""Persistent tokens in the simulator: one that hosts were told of is known to the member that takes over, with exact data."""

from itertools import count

import pytest

from odx_target.copymgr.tokens.adopted import AdoptedTokens, name_of, prefix_of
from odx_target.copymgr.tokens.durable import DurableTokens
from odx_target.copymgr.tokens.format import MAC_BYTES, decode_head, target_device_descriptor, unsigned_token
from odx_target.copymgr.tokens.issuer import maker_identity
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.replica.sync.group_states import NotServing
from odx_target.scsi.unit.logical_unit import naa_designator
from odx_target.store.api import BLOCK_BYTES, StoreError
from tests.replica.sync.pairs import Pair, block
from tests.sim.group_array import NAME, GroupArray

PERSISTENT = RodType.POINT_IN_TIME_PERSISTENT
TAKEOVER_S = 20.0


def token_bytes(pair: Pair, identifier: int) -> bytes:
    identity, maker = naa_designator(pair.volume(pair.a).identity), maker_identity(pair.a.pool.identity)
    device, size = target_device_descriptor("iqn.2026-11.example:a", bytes(16)), BLOCK_BYTES
    return unsigned_token(PERSISTENT, identifier, identity, size, size, device, maker, bytes(32)) + bytes(MAC_BYTES)


async def make(pair: Pair, identifier: int, told: list[int]) -> None:
    """Write the first block, and make a token of it at the primary, as POPULATE TOKEN does. Note it when hosts may be told."""
    pool, environment, volume = pair.a.pool, pair.a.environment, pair.volume(pair.a)
    data = token_bytes(pair, identifier)

    def change() -> None:
        volume.write(0, [block(identifier)])
        rod = FrozenRod(volume.freeze(durable=True), [(0, BLOCK_BYTES)])
        now_s = environment.monotonic()
        DurableTokens(pool, environment).put(
            RodToken(identifier, data, PERSISTENT, rod, decode_head(data).creator, 600.0, 6000.0, now_s, "iqn.host")
        )

    try:
        await pair.group(pair.a).change(change, volume.room_made)
    except (NotServing, StoreError):
        return
    told.append(identifier)


def tokens_at(array: GroupArray) -> dict[bytes, RodToken]:
    counter = count(1 << 40)
    loaded = DurableTokens(array.pool, array.environment).load_adopted(prefix_of(NAME), lambda: next(counter))
    return {name_of(token.data): token for token in loaded}


def number_in(pair: Pair, array: GroupArray, token: RodToken) -> int:
    assert isinstance(token.rod, FrozenRod)
    data = b"".join(pair.run(array, token.rod.frozen.read(0, 1)))
    return int.from_bytes(data[:8], "little")


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.006, 0.01, 0.02, 0.05, 0.3])
@pytest.mark.parametrize("cuts", [False, True])
def test_a_token_that_hosts_were_told_of_is_there_after_a_takeover(delay_s: float, *, cuts: bool) -> None:
    pair, told = Pair(), list[int]()
    for number in range(1, 5):
        pair.spawn(pair.a, make(pair, number, told))
        if cuts and number == 2:
            pair.network.cut("a", "b")
        pair.world.advance(delay_s)
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 0, [bytes(BLOCK_BYTES)]))
    pair.world.advance(delay_s)
    known = list(told)
    pair.a.kill()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    found = tokens_at(pair.b)
    assert {name_of(token_bytes(pair, number)) for number in known} <= found.keys()
    for token in found.values():
        assert number_in(pair, pair.b, token) == decode_head(token.data).identifier, "the data of another moment"
    pair.b.kill()
    pair.b.start()
    assert tokens_at(pair.b).keys() == found.keys(), "they are durable"


def test_a_member_forgets_the_tokens_of_a_group_that_it_leaves() -> None:
    pair, told = Pair(), list[int]()
    pair.run(pair.a, make(pair, 1, told))
    frozen = len(pair.b.pool.frozen_maps)
    tokens = AdoptedTokens(pair.b.pool, pair.b.environment, NAME)
    assert [name for name, _ in tokens.records([pair.volume(pair.b)])] == [name_of(token_bytes(pair, 1))]
    tokens.remove()
    assert list(tokens.records([pair.volume(pair.b)])) == []
    assert len(pair.b.pool.frozen_maps) == frozen - 1
