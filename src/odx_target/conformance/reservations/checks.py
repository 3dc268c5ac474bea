"""Checks of persistent reservations (SPC-4 5.13)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Function
from odx_target.conformance.faults import require, require_equal
from odx_target.conformance.reservations.commands import (
    KEY,
    OTHER_KEY,
    Action,
    Report,
    Type,
    clear,
    generation,
    holder,
    keys,
    out,
    report,
    report_cdb,
    require_no_registrations,
    send,
    two_initiators,
)
from odx_target.conformance.token_copy.commands import populate, populate_list, write_list
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import ZERO_TOKEN

LBA = 128
TEST_UNIT_READY = bytes(6)


async def registers(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, _):
        require_equal("registered keys", sorted(await keys(unit)), sorted([KEY, OTHER_KEY]))


async def unregisters(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        await send(unit, Action.REGISTER, KEY, 0)
        require_equal("registered keys", await keys(unit), [])


async def wrong_key(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        await unit.conflict(*out(Action.REGISTER, OTHER_KEY, 5))
        require_equal("registered keys", await keys(unit), [KEY])


async def ignores_existing_key(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        await send(unit, Action.REGISTER_AND_IGNORE_EXISTING_KEY, 0, OTHER_KEY)
        require_equal("registered keys", await keys(unit), [OTHER_KEY])


async def counts_generations(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        before = await generation(unit)
        await send(other, Action.REGISTER, 0, OTHER_KEY)
        require_equal("PRGENERATION after a registration", await generation(unit), (before + 1) & 0xFFFFFFFF)
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)
        require_equal("PRGENERATION after RESERVE", await generation(unit), (before + 1) & 0xFFFFFFFF)


async def reserve_needs_registration(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await other.conflict(*out(Action.RESERVE, OTHER_KEY, kind=Type.WRITE_EXCLUSIVE))
        require_equal("reservation", await holder(unit), None)


async def reports_the_reservation(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        require_equal("reservation", await holder(other), (KEY, Type.EXCLUSIVE_ACCESS))


async def second_reservation(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)
        await other.conflict(*out(Action.RESERVE, OTHER_KEY, kind=Type.WRITE_EXCLUSIVE))
        await unit.conflict(*out(Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS))
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)


def access(kind: Type, *, other_registers: bool, reads: bool, writes: bool) -> Function:
    """Return the function of a check of the commands that another initiator may send under a reservation."""

    async def run(bench: Bench) -> None:
        async with two_initiators(bench, other_registers=other_registers) as (unit, other):
            data = await unit.fill(7, LBA, 8)
            await send(unit, Action.RESERVE, KEY, kind=kind)
            if reads:
                await other.holds(LBA, data, "the data of the holder")
            else:
                await other.conflict(cdb.read_16(LBA, 1))
            if writes:
                await other.write(LBA, data)
            else:
                await other.conflict(cdb.write_16(LBA, 1), bytes(other.block_bytes))
                await unit.holds(LBA, data, "its old content after RESERVATION CONFLICT")
            await unit.write(LBA, data)

    return run


async def always_allowed(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        await other.good(cdb.inquiry(96), data_in_bytes=96)
        await other.good(cdb.report_luns(1024), data_in_bytes=1024)
        await other.good(cdb.read_capacity_10(), data_in_bytes=8)
        await report(other, Report.READ_KEYS)


async def releases(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        await send(unit, Action.RELEASE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        require_equal("reservation", await holder(unit), None)
        await other.read(LBA, 1)
        require_equal("registered keys", await keys(unit), [KEY])


async def release_of_another_type(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        command, data = out(Action.RELEASE, KEY, kind=Type.WRITE_EXCLUSIVE)
        await unit.refused(command, "5/26/04", data_out=data)
        require_equal("reservation", await holder(unit), (KEY, Type.EXCLUSIVE_ACCESS))


async def release_by_another(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        await send(other, Action.RELEASE, OTHER_KEY, kind=Type.EXCLUSIVE_ACCESS)
        require_equal("reservation", await holder(unit), (KEY, Type.EXCLUSIVE_ACCESS))


async def clears(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)
        await send(other, Action.CLEAR, OTHER_KEY)
        require_equal("registered keys", await keys(other), [])
        require_equal("reservation", await holder(other), None)


async def clear_tells_the_others(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await other.command(TEST_UNIT_READY)
        await send(unit, Action.CLEAR, KEY)
        result = await other.once(TEST_UNIT_READY)
        require_equal("sense of the next command of the other initiator", sense_code(result), "6/2A/03")


async def preempts(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)
        await send(other, Action.PREEMPT, OTHER_KEY, KEY, kind=Type.EXCLUSIVE_ACCESS)
        require_equal("registered keys", await keys(other), [OTHER_KEY])
        require_equal("reservation", await holder(other), (OTHER_KEY, Type.EXCLUSIVE_ACCESS))
        await unit.conflict(cdb.read_16(LBA, 1))


async def preempt_tells_the_other(bench: Bench) -> None:
    async with two_initiators(bench, other_registers=True) as (unit, other):
        await unit.command(TEST_UNIT_READY)
        await send(other, Action.PREEMPT, OTHER_KEY, KEY, kind=Type.WRITE_EXCLUSIVE)
        result = await unit.once(TEST_UNIT_READY)
        require_equal("sense of the next command of the preempted initiator", sense_code(result), "6/2A/05")


async def end_of_registration(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        await send(unit, Action.REGISTER, KEY, 0)
        require_equal("reservation", await holder(other), None)


async def survives_reset(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        require_equal("response to LOGICAL UNIT RESET", await other.path.reset_logical_unit(other.lun), 0)
        require_equal("reservation", await holder(unit), (KEY, Type.EXCLUSIVE_ACCESS))


async def full_status(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        data = await report(unit, Report.READ_FULL_STATUS)
        require(KEY.to_bytes(8, "big") in data[8:], "READ FULL STATUS does not report the registered key")
        require(bench.initiator_name.encode() in data[8:], "READ FULL STATUS does not report the initiator name")


async def capabilities(bench: Bench) -> None:
    data = await report(bench.first, Report.REPORT_CAPABILITIES)
    require_equal("LENGTH", int.from_bytes(data[:2], "big"), 8)
    require(not data[3] & 0x80 or bool(data[4] & 0x02), "TYPE MASK does not have Write Exclusive")


async def short_list(bench: Bench) -> None:
    command, data = out(Action.REGISTER, 0, KEY)
    short = command[:5] + (23).to_bytes(4, "big") + command[9:]
    await require_no_registrations(bench.first)
    try:
        await bench.first.refused(short, "5/1A/00", data_out=data[:23])
        require(KEY not in await keys(bench.first), "the refused command has registered its key")
    finally:
        await clear(bench)


async def reserved_in(bench: Bench) -> None:
    await bench.first.refused(report_cdb(0x1F), "5/24/00", data_in_bytes=1024)


async def reserved_type(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, _):
        command, data = out(Action.RESERVE, KEY, kind=0x0F)
        await unit.refused(command, "5/24/00", "5/26/00", data_out=data)
        require_equal("reservation", await holder(unit), None)


async def conflict_of_write_using_token(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.WRITE_EXCLUSIVE)
        data = write_list(ZERO_TOKEN, [(LBA, 8)])
        await other.conflict(cdb.write_using_token(1, len(data)), data)
        await populate(other, [(LBA, 8)])


async def conflict_of_populate_token(bench: Bench) -> None:
    async with two_initiators(bench) as (unit, other):
        await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
        data = populate_list([(LBA, 8)])
        await other.conflict(cdb.populate_token(1, len(data)), data)
