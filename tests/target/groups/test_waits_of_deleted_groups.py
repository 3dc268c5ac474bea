"""Tests of what waits in a group when the group is deleted."""

import pytest
import trio
from trio.testing import MockClock

from odx_target.replica.sync.group_states import NotServing
from tests.target.groups.members import BLOCK_BYTES, NAME, SHARED, members


async def test_a_wait_for_the_other_member_ends_with_the_group(autojump_clock: MockClock) -> None:
    async with members(out_of_sync_s=20.0) as pair:
        group, pool, waits = pair.group(pair.a), pair.a.pool, trio.Event()
        for other in "bw":
            pair.network.cut("a", other)

        async def wait() -> None:
            pool.volumes[SHARED.name].write(0, [bytes(BLOCK_BYTES)])
            await pool.committed()
            waits.set()
            with pytest.raises(NotServing, match="was deleted"):
                await group.acknowledged(pool.committed_osn)

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await waits.wait()
                await trio.sleep(1)
                assert nursery.child_tasks
                pair.table(pair.a).remove(NAME)
