"""The time for which hosts of a group wait after a fault, where the arrays and not the hosts decide on it."""

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.membership.timing import PROMISE_S
from odx_target.replica.sync.member_driver import TICK_S
from tests.target.groups.members import host_at, members, write

STEP_S = 0.02
PHASES_S = (0.0, 0.1, 0.2)
"""Times of a fault since the group is in sync, because the arrays look for what is due at intervals."""


async def wait_s(session: InitiatorSession) -> float:
    """Write until it succeeds. Returns the time that this takes."""
    began_s = trio.current_time()
    with trio.fail_after(30):
        while await write(session, 0, 5) != "good":
            await trio.sleep(STEP_S)
    return trio.current_time() - began_s


@pytest.mark.parametrize("phase_s", PHASES_S)
async def test_hosts_write_at_the_other_array_at_once_after_a_switchover(autojump_clock: MockClock, phase_s: float) -> None:
    async with members() as pair, host_at(pair.b) as second:
        await trio.sleep(phase_s)
        began_s = trio.current_time()
        await pair.group(pair.a).switchover()
        await wait_s(second)
        assert trio.current_time() - began_s < 0.1


@pytest.mark.parametrize("cut_s", [3.0, 4.0, 5.0])
async def test_hosts_write_soon_after_the_end_of_a_cut_between_the_arrays(autojump_clock: MockClock, cut_s: float) -> None:
    """A path that nobody waits for would dial up to 5 s later."""
    async with members(out_of_sync_s=20.0) as pair, host_at(pair.a) as first:
        pair.network.cut("a", "b")
        await trio.sleep(cut_s)
        pair.network.mend("a", "b")
        assert await wait_s(first) <= 1.25


async def test_hosts_write_at_the_other_array_when_its_promise_has_ended(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.b) as second:
        pair.kill("a")
        assert await wait_s(second) < PROMISE_S + TICK_S
