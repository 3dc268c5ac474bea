"""A new primary as hosts see it until it serves, at the ports of both members."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trio.testing import MockClock

from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.sync.group_states import GroupState
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.reservations.durable import KEY_PREFIX
from odx_target.target.groups.gate import Gate
from tests.target.access.port_groups import reported
from tests.target.groups.members import (
    GROUP_LUN,
    IN_STANDBY,
    IN_TRANSITION,
    STATE_CHANGED,
    Members,
    drain,
    host_at,
    members,
    read,
    write,
)

ACTIVE, STANDBY, TRANSITIONING = AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY, AccessState.TRANSITIONING
RESERVATION_CONFLICT = "status 18"


@asynccontextmanager
async def without_its_first_lease() -> AsyncIterator[Members]:
    """Switch over to the member `b`, and cut it off from both others as soon as it is the primary."""
    async with members() as pair:
        group = pair.group(pair.b)

        def cut() -> None:
            if group.state is GroupState.SETTLING:
                group.progress.on_change.remove(cut)
                pair.network.cut("a", "b")
                pair.network.cut("b", "w")

        group.progress.on_change.append(cut)
        await pair.group(pair.a).switchover()
        await pair.until(lambda: group.state is GroupState.SETTLING, 3.0)
        yield pair


def mend(pair: Members) -> None:
    pair.network.mend("a", "b")
    pair.network.mend("b", "w")


async def states(pair: Members, session: InitiatorSession) -> tuple[AccessState, AccessState]:
    """Return the states of the ports of `a` and of `b`, as REPORT TARGET PORT GROUPS shows them."""
    numbers = (1, 2) if pair.a.pool.identity < pair.b.pool.identity else (2, 1)
    found = await reported(session, GROUP_LUN)
    return AccessState(found[numbers[0]][0]), AccessState(found[numbers[1]][0])


async def test_a_new_primary_reports_that_it_is_in_transition(autojump_clock: MockClock) -> None:
    """Hosts that believed the states of before would prefer the array that has just handed over."""
    async with without_its_first_lease() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await states(pair, second) == (STANDBY, TRANSITIONING)
        assert await states(pair, first) == (STANDBY, ACTIVE)
        assert (await write(second, 0, 5), await write(first, 0, 5)) == (IN_TRANSITION, IN_STANDBY)
        mend(pair)
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        assert await drain(second) == [STATE_CHANGED]
        assert await states(pair, second) == await states(pair, first) == (STANDBY, ACTIVE)
        assert (await write(second, 0, 6), await read(second, 0)) == ("good", [6])


async def test_a_new_primary_goes_on_with_the_reservations_at_its_first_lease(autojump_clock: MockClock) -> None:
    """Until then, it may still get what the other member has in addition."""
    async with without_its_first_lease() as pair, host_at(pair.b) as second:
        assert pair.state(pair.b) is GroupState.SETTLING
        pair.b.pool.remember(f"{KEY_PREFIX}{pair.b.pool.volumes['db1'].identity.hex()}", b"of a newer version")
        mend(pair)
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        await drain(second)
        assert await write(second, 0, 1) == RESERVATION_CONFLICT


async def test_a_moment_in_which_a_record_becomes_durable_is_not_notified(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        unit, driver = pair.a.logical_units[GROUP_LUN], pair.group(pair.a).driver
        gate = unit.group
        assert isinstance(gate, Gate)
        driver.is_settling = True
        assert gate.access_state is TRANSITIONING
        assert unit.port_groups.state_of(gate.number) is ACTIVE
        driver.is_settling = False
        assert gate.access_state is ACTIVE
        assert await drain(first) == []
