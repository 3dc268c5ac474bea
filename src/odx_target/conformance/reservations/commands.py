"""The commands of persistent reservations (SPC-4 6.15, 6.16), and registrations that a check removes at its end."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

from odx_target.conformance.bench import Bench
from odx_target.conformance.faults import NotSupported
from odx_target.conformance.unit import Unit
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.session.together import run_to_its_end

KEY, OTHER_KEY = 0x1122334455667788, 0x99AABBCCDDEEFF00
ALLOCATION_BYTES = 1024
LIST_BYTES = 24
CLEARING_TIME_S = 6.0
"""Time for the removal of the registrations at the end of a check. A user who interrupts the checks must not wait longer."""


class Action(IntEnum):
    """Service actions of PERSISTENT RESERVE OUT."""

    REGISTER = 0
    RESERVE = 1
    RELEASE = 2
    CLEAR = 3
    PREEMPT = 4
    REGISTER_AND_IGNORE_EXISTING_KEY = 6


class Report(IntEnum):
    """Service actions of PERSISTENT RESERVE IN."""

    READ_KEYS = 0
    READ_RESERVATION = 1
    REPORT_CAPABILITIES = 2
    READ_FULL_STATUS = 3


class Type(IntEnum):
    """Types of persistent reservations."""

    WRITE_EXCLUSIVE = 1
    EXCLUSIVE_ACCESS = 3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8


def out(action: int, key: int, service_key: int = 0, *, kind: int = 0) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of PERSISTENT RESERVE OUT."""
    return struct.pack(">BBB2xIx", 0x5F, action, kind, LIST_BYTES), struct.pack(">QQ8x", key, service_key)


def report_cdb(action: int, allocation_bytes: int = ALLOCATION_BYTES) -> bytes:
    """Return the CDB of PERSISTENT RESERVE IN."""
    return struct.pack(">BB5xHx", 0x5E, action, allocation_bytes)


async def send(unit: Unit, action: int, key: int, service_key: int = 0, *, kind: int = 0) -> None:
    """Send a PERSISTENT RESERVE OUT that must end with GOOD."""
    await unit.good(*out(action, key, service_key, kind=kind))


async def report(unit: Unit, action: int) -> bytes:
    """Return the data of a PERSISTENT RESERVE IN."""
    return await unit.good(report_cdb(action), data_in_bytes=ALLOCATION_BYTES)


async def keys(unit: Unit) -> list[int]:
    """Return the registered keys."""
    data = await report(unit, Report.READ_KEYS)
    end = 8 + int.from_bytes(data[4:8], "big")
    return [int.from_bytes(data[at : at + 8], "big") for at in range(8, min(end, len(data)), 8)]


async def holder(unit: Unit) -> tuple[int, int] | None:
    """Return the key and the type of the reservation; None if there is none."""
    data = await report(unit, Report.READ_RESERVATION)
    if not int.from_bytes(data[4:8], "big"):
        return None
    return int.from_bytes(data[8:16], "big"), data[21] & 0x0F


async def generation(unit: Unit) -> int:
    """Return PRGENERATION."""
    return int.from_bytes((await report(unit, Report.READ_KEYS))[:4], "big")


@asynccontextmanager
async def two_initiators(bench: Bench, *, other_registers: bool = False) -> AsyncIterator[tuple[Unit, Unit]]:
    """Register the first initiator with KEY, and yield both initiators. All registrations of the LUN are cleared at the end.

    Raises NotSupported if the LUN already has registrations, because the check would remove them.
    """
    async with bench.other_initiator() as other:
        unit = bench.first
        await require_no_registrations(unit)
        try:
            await send(unit, Action.REGISTER, 0, KEY)
            if other_registers:
                await send(other, Action.REGISTER, 0, OTHER_KEY)
            yield unit, other
        finally:
            await clear(bench)


async def require_no_registrations(unit: Unit) -> None:
    """Raise NotSupported if the LUN has registrations."""
    if await keys(unit):
        raise NotSupported("the LUN has registrations of other hosts, which the check would remove")


async def clear(bench: Bench) -> None:
    """Remove all registrations and the reservation of the first LUN, even if the check is cancelled or its session is lost.
    Otherwise other hosts could not use the LUN any more.
    """
    is_cleared = False

    async def clear_here() -> None:
        nonlocal is_cleared
        with suppress(InitiatorError):
            await _clear(bench.first)
            is_cleared = True

    async def clear_as_another() -> None:
        with suppress(InitiatorError):
            async with bench.other_initiator() as other:
                await _clear(other)

    await run_to_its_end(clear_here, CLEARING_TIME_S / 2)
    if not is_cleared:
        await run_to_its_end(clear_as_another, CLEARING_TIME_S / 2)


async def _clear(unit: Unit) -> None:
    await unit.command(*out(Action.REGISTER_AND_IGNORE_EXISTING_KEY, 0, KEY))
    await unit.command(*out(Action.CLEAR, KEY))
