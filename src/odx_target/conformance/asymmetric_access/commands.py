"""REPORT and SET TARGET PORT GROUPS (SPC-4 6.37, 6.45), and states that a check restores at its end."""

import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from odx_target.conformance.bench import Bench
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.together import run_to_its_end

ALLOCATION_BYTES = 0x4000
LENGTH_ONLY, EXTENDED = 0, 1
"""Values of PARAMETER DATA FORMAT."""
HEADER_BYTES = {LENGTH_ONLY: 4, EXTENDED: 8}
IDENTIFICATION = 0x83
STANDARD_BYTES = 255
IMPLICIT, EXPLICIT = 1, 2
"""The bits of TPGS."""
OPTIMIZED, NON_OPTIMIZED, STANDBY, UNAVAILABLE = 0x0, 0x1, 0x2, 0x3
BLOCK_DEPENDENT, RESERVED, OFFLINE, TRANSITIONING = 0x4, 0x7, 0xE, 0xF
SUPPORT_BITS = {
    OPTIMIZED: 0x01,
    NON_OPTIMIZED: 0x02,
    STANDBY: 0x04,
    UNAVAILABLE: 0x08,
    BLOCK_DEPENDENT: 0x10,
    OFFLINE: 0x40,
    TRANSITIONING: 0x80,
}
"""For each state, the bit in byte 1 of a descriptor that says that the group supports it."""
SETTABLE = (OPTIMIZED, NON_OPTIMIZED, STANDBY, UNAVAILABLE)
MAX_POLLS = 100
POLL_INTERVAL_S = 0.1
RESTORING_TIME_S = 6.0
"""Time for restoring the states at the end of a check. A user who interrupts the checks must not wait longer."""


@dataclass(frozen=True, slots=True)
class Group:
    """A target port group descriptor. `supported` is its byte 1."""

    number: int
    state: int
    supported: int
    status_code: int
    ports: tuple[int, ...]

    def supports(self, state: int) -> bool:
        return bool(self.supported & SUPPORT_BITS.get(state, 0))


def report_cdb(allocation_bytes: int = ALLOCATION_BYTES, data_format: int = LENGTH_ONLY) -> bytes:
    """Return the CDB of REPORT TARGET PORT GROUPS."""
    return struct.pack(">BB4xI2x", 0xA3, data_format << 5 | 0x0A, allocation_bytes)


def set_command(states: Iterable[tuple[int, int]]) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of SET TARGET PORT GROUPS. `states` are pairs of a group and its new state."""
    data = bytes(4) + b"".join(struct.pack(">BxH", state, number) for number, state in states)
    return struct.pack(">BB4xI2x", 0xA4, 0x0A, len(data)), data


def parse_groups(data: bytes, data_format: int = LENGTH_ONLY) -> list[Group]:
    """Return the descriptors in the data of REPORT TARGET PORT GROUPS. Raises CheckFailed if they do not fill the data."""
    groups, at = [], HEADER_BYTES[data_format]
    while at + 8 <= len(data):
        state, supported, number, status_code, count = struct.unpack_from(">BBHxBxB", data, at)
        at += 8
        ports = tuple(int.from_bytes(data[port + 2 : port + 4], "big") for port in range(at, at + 4 * count, 4))
        groups.append(Group(number, state & 0x0F, supported, status_code, ports))
        at += 4 * count
    require_equal("end of the last target port group descriptor", at, len(data))
    return groups


async def modes(unit: Unit) -> int:
    """Return TPGS."""
    data = await unit.good(cdb.inquiry(STANDARD_BYTES), data_in_bytes=STANDARD_BYTES)
    return data[5] >> 4 & 3


async def require_access(unit: Unit, modes_wanted: int = IMPLICIT | EXPLICIT) -> None:
    """Raise NotSupported if the logical unit has none of the modes."""
    found = await modes(unit)
    if not found & modes_wanted:
        what = "explicit asymmetric access" if modes_wanted == EXPLICIT else "asymmetric access"
        raise NotSupported(f"the LUN has no {what}: TPGS is {found}")


async def report(unit: Unit, data_format: int = LENGTH_ONLY) -> bytes:
    """Return the data of REPORT TARGET PORT GROUPS, as long as RETURN DATA LENGTH says."""
    return await unit.good(report_cdb(data_format=data_format), data_in_bytes=ALLOCATION_BYTES)


async def groups_of(unit: Unit) -> list[Group]:
    """Return the target port groups as soon as none of them is transitioning any more."""
    for _ in range(MAX_POLLS):
        groups = parse_groups(await report(unit))
        if all(group.state != TRANSITIONING for group in groups):
            break
        await unit.sleep(POLL_INTERVAL_S)
    return groups


async def designators(unit: Unit, kind: int) -> list[int]:
    """Return the numbers in the designators of the target port of a kind: 4 for relative target ports, 5 for target port
    groups.
    """
    page, found, at = await unit.page(IDENTIFICATION), [], 4
    while at + 4 <= len(page):
        if page[at + 1] & 0x3F == 0x10 | kind:
            require_equal(f"length of the designator of type {kind}", page[at + 3], 4)
            found.append(int.from_bytes(page[at + 6 : at + 8], "big"))
        at += 4 + page[at + 3]
    return found


async def own_group(unit: Unit) -> Group:
    """Return the group of the port through which the unit is reached. Raises CheckFailed if there is none."""
    numbers = await designators(unit, 5)
    own = [group for group in await groups_of(unit) if group.number in numbers]
    require(bool(own), f"no reported target port group is that of page 83h: {numbers}")
    return own[0]


async def set_state(unit: Unit, number: int, state: int) -> None:
    """Change the state of a group, and wait for the end of the transition. Raises CheckFailed if the group has another state
    then.
    """
    await unit.good(*set_command([(number, state)]))
    found = {group.number: group.state for group in await groups_of(unit)}
    require_equal(f"state of group {number} after SET TARGET PORT GROUPS", found.get(number), state)


@asynccontextmanager
async def restored(bench: Bench) -> AsyncIterator[list[Group]]:
    """Yield the target port groups, and restore their states at the end, even if the check is cancelled.

    Raises NotSupported if hosts cannot change the states.
    """
    await require_access(bench.first, EXPLICIT)
    groups = await groups_of(bench.first)

    async def restore() -> None:
        with suppress(InitiatorError):
            settable = [(group.number, group.state) for group in groups if group.state in SETTABLE]
            await bench.first.command(*set_command(settable))

    try:
        yield groups
    finally:
        await run_to_its_end(restore, RESTORING_TIME_S)


def other_state(group: Group) -> int:
    """Return the other one of the two active states. Raises NotSupported if the group does not support it."""
    state = NON_OPTIMIZED if group.state == OPTIMIZED else OPTIMIZED
    if not group.supports(state):
        raise NotSupported(f"group {group.number} does not support state {state}")
    return state
