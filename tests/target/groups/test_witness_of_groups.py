"""Tests of another witness for a group, and of a primary whose other member and witness are lost."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from odx_target.replica.sync.group_states import GroupState
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.peers.serving import serve_peers
from tests.target.groups.members import LOCAL, NAME, UNAVAILABLE, Members, drain, host_at, members, read, write
from tests.target.running import running

ALREADY = "is the primary of the group db already"


async def do(array: Array, operation: str, **given: object) -> Any:
    return await perform(array, operation, {"name": NAME, **given})


async def taken_over(pair: Members) -> None:
    """Kill the primary, and wait until the other member serves, which the witness decides."""
    pair.kill("a")
    await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)


async def test_a_group_goes_on_with_a_new_witness(autojump_clock: MockClock) -> None:
    async with (
        members() as pair,
        running(Config(luns=(LOCAL,), polling=False)) as x,
        serve_peers(Portal("127.0.0.1", 0), x),
        host_at(pair.a) as first,
    ):
        pair.network.arrays["x"] = x
        pair.network.pair("a", "x")
        await pair.until(lambda: pair.a.peering.paths["x"].link is not None)  # type: ignore[union-attr]
        for name, message in (("b", "are three arrays"), ("y", "no path y"), ("x", "x refuses: .* has no path to the other")):
            with pytest.raises(ManagementError, match=message):
                await do(pair.a, "group-witness", witness=name)
        pair.network.pair("b", "x")
        await pair.until(lambda: pair.b.peering.paths["x"].link is not None)  # type: ignore[union-attr]
        with pytest.raises(ManagementError, match="not the primary"):
            await do(pair.b, "group-witness", witness="x")
        for name in "ab":
            pair.network.cut(name, "w")
        await pair.until(lambda: pair.group(pair.a).path_to_witness().link is None)  # type: ignore[union-attr]
        assert await write(first, 0, 5) == "good"
        assert (await do(pair.a, "group-witness", witness="x"))["witness"] == "x"
        await pair.until(lambda: pair.table(x).witness_desk.record(NAME).register is not None)
        await pair.until(pair.is_in_sync)
        assert pair.state(pair.a) is GroupState.SERVING
        assert await write(first, 0, 6) in ("good", "6/2A/06")
        for name in "ab":
            pair.network.mend(name, "w")  # The former witness has its record still, and nobody believes it.
        await trio.sleep(8)
        assert pair.state(pair.a) is GroupState.SERVING
        pair.network.cut("a", "x")
        await taken_over(pair)
        assert pair.table(x).witness_desk.record(NAME).register.primary == pair.b.pool.identity.hex()  # type: ignore[union-attr]


async def test_a_witness_that_was_emptied_is_told_by_both_members(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        await perform(pair.w, "group-delete", {"name": NAME, "force": True})
        await trio.sleep(8)
        assert await write(first, 0, 5) == "good", "the other member grants leases"
        await do(pair.a, "group-witness", witness="w")
        desk = pair.table(pair.w).witness_desk
        await pair.until(lambda: desk.record(NAME).register is not None)
        number = desk.record(NAME).number
        await do(pair.a, "group-witness", witness="w")
        assert desk.record(NAME).number == number, "it has nothing to do"
        pair.network.cut("a", "b")
        with pytest.raises(ManagementError, match=r"the other member cannot be reached|not connected"):
            await do(pair.a, "group-witness", witness="w")
        pair.network.mend("a", "b")
        await pair.until(pair.is_in_sync)
        await taken_over(pair)


async def test_a_primary_without_its_other_member_and_its_witness_goes_on_by_force(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        with pytest.raises(ManagementError, match=ALREADY):
            await do(pair.a, "group-promote", force=True)
        pair.kill("b")
        pair.network.cut("a", "w")
        await pair.until(lambda: pair.state(pair.a) is GroupState.WAITING)
        await drain(first)
        assert await write(first, 0, 6) == UNAVAILABLE
        with pytest.raises(ManagementError, match="not connected"):
            await do(pair.a, "group-delete", force=True)
        told = await do(pair.a, "group-promote")
        assert not told["is_promoted"]
        assert told["loss"].startswith("what hosts have written at the other member, if it has taken over")
        done = await do(pair.a, "group-promote", force=True)
        assert (done["is_promoted"], done["loss"]) == (True, told["loss"])
        await drain(first)
        assert (await read(first, 0), await write(first, 0, 7)) == ([5], "good")
        with pytest.raises(ManagementError, match=ALREADY):
            await do(pair.a, "group-promote")
        left = (await do(pair.a, "group-delete", force=True))["left"]
        assert len(left) == 2


async def test_the_other_member_of_a_primary_that_went_on_by_force_comes_back(autojump_clock: MockClock) -> None:
    """It had taken over meanwhile, and keeps what hosts wrote to it in a snapshot."""
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        pair.kill("a")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        await drain(second)
        assert await write(second, 0, 6) == "good"
        await pair.until(lambda: pair.state(pair.a) is GroupState.WAITING)
        pair.network.cut("b", "w")
        await do(pair.a, "group-promote", force=True)
        pair.kill("b")
        for one, other in ("ab", "aw", "bw"):
            pair.network.mend(one, other)
        await pair.until(pair.is_in_sync)
        assert pair.state(pair.a) is GroupState.SERVING
        assert [name.partition("-")[0] for name in pair.b.pool.volumes["db1"].snapshots] == ["diverged"]
        assert b"".join(await pair.b.pool.volumes["db1"].read(0, 1))[:4] == (5).to_bytes(4, "big")
