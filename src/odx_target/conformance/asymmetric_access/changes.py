"""Checks of SET TARGET PORT GROUPS, and of the commands that work in each state of a target port."""

from odx_target.conformance.asymmetric_access.commands import (
    EXPLICIT,
    NON_OPTIMIZED,
    OPTIMIZED,
    RESERVED,
    SETTABLE,
    STANDBY,
    TRANSITIONING,
    UNAVAILABLE,
    Group,
    groups_of,
    other_state,
    own_group,
    report,
    require_access,
    restored,
    set_command,
    set_state,
)
from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb

NOT_CONNECTED = 0x20
"""PERIPHERAL QUALIFIER 001b, as it stands in byte 0."""
STATE_CHANGED = "6/2A/06"
CHANGED_EXPLICITLY = 1
SHORT_LIST = ("5/1A/00", "5/26/00", "5/24/00")
"""Sense of a parameter list that ends within a descriptor. The last one is for a length that the target does not accept."""
REQUEST_SENSE = bytes.fromhex("03000000fc00")
ALLOCATION_BYTES = 252


async def present_states(bench: Bench) -> None:
    async with restored(bench) as groups:
        await bench.first.good(*set_command((group.number, group.state) for group in groups if group.state in SETTABLE))
        await _require_unchanged(bench, groups)


async def empty_list(bench: Bench) -> None:
    await require_access(bench.first, EXPLICIT)
    before = await groups_of(bench.first)
    await bench.first.good(set_command([])[0][:6] + bytes(6))
    await _require_unchanged(bench, before)


async def another_state(bench: Bench) -> None:
    async with restored(bench):
        group = await own_group(bench.first)
        await set_state(bench.first, group.number, other_state(group))
        found = await own_group(bench.first)
        require_equal("STATUS CODE after SET TARGET PORT GROUPS", found.status_code, CHANGED_EXPLICITLY)
        await bench.first.good(cdb.test_unit_ready())


async def attention(bench: Bench) -> None:
    async with bench.other_initiator() as other, restored(bench):
        await other.command(cdb.test_unit_ready())
        await bench.first.command(cdb.test_unit_ready())
        group = await own_group(bench.first)
        await set_state(bench.first, group.number, other_state(group))
        code = sense_code(await bench.first.once(cdb.test_unit_ready()))
        require(code != STATE_CHANGED, "the nexus that has changed the state is notified itself")
        code = sense_code(await other.once(cdb.test_unit_ready()))
        require_equal("sense of TEST UNIT READY of another initiator", code or "missing", STATE_CHANGED)


async def unknown_group(bench: Bench) -> None:
    async with restored(bench) as groups:
        unused = next(each for each in range(0xFFFF, 0, -1) if each not in {every.number for every in groups})
        await _require_refusal(bench, [(unused, OPTIMIZED)])


def invalid_state(state: int) -> Function:
    """Return the function of a check that a state is refused."""

    async def run(bench: Bench) -> None:
        async with restored(bench):
            await _require_refusal(bench, [((await own_group(bench.first)).number, state)])

    return run


async def _require_refusal(bench: Bench, states: list[tuple[int, int]]) -> None:
    """Send a list that must be refused, and that must change nothing."""
    before = await groups_of(bench.first)
    command, data = set_command(states)
    await bench.first.refused(command, "5/26/00", data_out=data)
    await _require_unchanged(bench, before)


async def _require_unchanged(bench: Bench, before: list[Group]) -> None:
    found = {group.number: group.state for group in await groups_of(bench.first)}
    require_equal("states of the groups after the command", found, {group.number: group.state for group in before})


async def short_list(bench: Bench) -> None:
    async with restored(bench) as groups:
        group = await own_group(bench.first)
        command, data = set_command([(group.number, other_state(group))])
        command = command[:9] + bytes((len(data) - 1,)) + command[10:]
        result = await bench.first.command(command, data[:-1])
        require(sense_code(result) in SHORT_LIST, f"a list of 7 bytes ended with {sense_code(result) or result.status}")
        await _require_unchanged(bench, groups)


async def non_optimized(bench: Bench) -> None:
    async with restored(bench):
        await _set_own(bench, NON_OPTIMIZED)
        data = await bench.first.fill(1, 0, 8)
        await bench.first.holds(0, data, "the data that was written in the active/non-optimized state")


def refused_in(state: int, code: str) -> Function:
    """Return the function of a check that reads and writes are refused in a state, and work again after it."""

    async def run(bench: Bench) -> None:
        block = bytes(bench.first.block_bytes)
        async with restored(bench):
            before = await _set_own(bench, state)
            await bench.first.refused(cdb.test_unit_ready(), code)
            await bench.first.refused(cdb.read_16(0, 1), code, data_in_bytes=len(block))
            await bench.first.refused(cdb.write_16(0, 1), code, data_out=block)
            await set_state(bench.first, (await own_group(bench.first)).number, before)
            await bench.first.good(cdb.read_16(0, 1), data_in_bytes=len(block))

    return run


def working_in(state: int, qualifier: int) -> Function:
    """Return the function of a check of the commands that work in a state. INQUIRY must report a peripheral qualifier."""

    async def run(bench: Bench) -> None:
        async with restored(bench):
            await _set_own(bench, state)
            data = await bench.first.good(cdb.inquiry(96), data_in_bytes=96)
            require_equal("PERIPHERAL QUALIFIER", data[0] & 0xE0, qualifier)
            await bench.first.good(cdb.report_luns(4096), data_in_bytes=4096)
            await report(bench.first)
            sense = await bench.first.good(REQUEST_SENSE, data_in_bytes=ALLOCATION_BYTES)
            require(sense[0] & 0x7F in {0x70, 0x72}, f"REQUEST SENSE returns {sense[:1].hex()}h")

    return run


async def _set_own(bench: Bench, state: int) -> int:
    """Change the state of the port's own group, and return its former state. Raises NotSupported if the group has no such
    state.
    """
    group = await own_group(bench.first)
    if not group.supports(state):
        raise NotSupported(f"group {group.number} does not support state {state}")
    await set_state(bench.first, group.number, state)
    return group.state


_SET = "SPC-4 6.45"
_STANDBY, _UNAVAILABLE = "SPC-4 5.15.2.4.4", "SPC-4 5.15.2.4.5"
CHANGES = Need.DESTRUCTIVE

CHECKS = (
    Check("alua.set.empty", _SET, "An empty parameter list changes nothing", empty_list),
    Check("alua.set.present", _SET, "The present states change nothing", present_states, CHANGES),
    Check("alua.set.state", _SET, "A new state is reported with status code 1", another_state, CHANGES),
    Check("alua.set.attention", "SPC-4 5.15.2.7", "A change is reported to other initiators only", attention, CHANGES),
    Check("alua.set.group", _SET, "An unknown group is refused", unknown_group, CHANGES),
    Check("alua.set.reserved", _SET, "A reserved state is refused", invalid_state(RESERVED), CHANGES),
    Check("alua.set.transitioning", _SET, "The state transitioning is refused", invalid_state(TRANSITIONING), CHANGES),
    Check("alua.set.short-list", _SET, "An incomplete descriptor is refused, and nothing changes", short_list, CHANGES),
    Check("alua.state.non-optimized", "SPC-4 5.15.2.4.3", "Reads and writes work if not optimized", non_optimized, CHANGES),
    Check("alua.state.standby", _STANDBY, "Reads and writes are refused in standby", refused_in(STANDBY, "2/04/0B"), CHANGES),
    Check("alua.state.standby-commands", _STANDBY, "INQUIRY and reports work in standby", working_in(STANDBY, 0), CHANGES),
    Check(
        "alua.state.unavailable",
        _UNAVAILABLE,
        "Reads and writes are refused if unavailable",
        refused_in(UNAVAILABLE, "2/04/0C"),
        CHANGES,
    ),
    Check(
        "alua.state.unavailable-commands",
        _UNAVAILABLE,
        "INQUIRY reports qualifier 001b if unavailable, and reports work",
        working_in(UNAVAILABLE, NOT_CONNECTED),
        CHANGES,
    ),
)
