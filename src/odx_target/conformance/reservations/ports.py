"""The check of registrations for all target ports (ALL_TG_PT, SPC-4 6.16.3)."""

import struct
from typing import NamedTuple

from odx_target.conformance.bench import Bench
from odx_target.conformance.faults import require, require_equal
from odx_target.conformance.reservations.commands import (
    KEY,
    Action,
    Report,
    clear,
    keys,
    out,
    report,
    require_no_registrations,
)
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb

FLAGS_BYTE, ALL_TG_PT = 20, 0x04
ATP_C = 0x04
MULTIP = 0x10
INQUIRY_BYTES = 96
REFUSALS = "5/26/00", "5/24/00"
_DESCRIPTOR = struct.Struct(">Q4xB5xHI")


class Registration(NamedTuple):
    """A registration in READ FULL STATUS."""

    key: int
    is_for_all_ports: bool
    relative_target_port: int


async def all_ports(bench: Bench) -> None:
    """A target may show one registration for all ports, or one for each port."""
    unit = bench.first
    is_supported = bool((await report(unit, Report.REPORT_CAPABILITIES))[2] & ATP_C)
    await require_no_registrations(unit)
    try:
        if not is_supported:
            command, parameters = _at_all_ports(0, KEY)
            await unit.refused(command, *REFUSALS, data_out=parameters)
            require_equal("registered keys after the refusal", await keys(unit), [])
            return
        await unit.good(*_at_all_ports(0, KEY))
        found = [each for each in await registrations(unit) if each.key == KEY]
        require(bool(found), "READ FULL STATUS does not report the registered key")
        if not any(each.is_for_all_ports for each in found):
            ports = [each.relative_target_port for each in found]
            require(len(set(ports)) == len(ports), f"a port is registered twice: {ports}")
            has_several = bool((await unit.good(cdb.inquiry(INQUIRY_BYTES), data_in_bytes=INQUIRY_BYTES))[6] & MULTIP)
            require(len(ports) > 1 or not has_several, f"MULTIP is 1, and only port {ports[0]} is registered")
        await unit.good(*_at_all_ports(KEY, 0))
        require_equal("registered keys after the end of the registration", await keys(unit), [])
    finally:
        await clear(bench)


def _at_all_ports(key: int, service_key: int) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of REGISTER with ALL_TG_PT."""
    command, parameters = out(Action.REGISTER, key, service_key)
    return command, parameters[:FLAGS_BYTE] + bytes((ALL_TG_PT,)) + parameters[FLAGS_BYTE + 1 :]


async def registrations(unit: Unit) -> list[Registration]:
    """Return the registrations in READ FULL STATUS."""
    data = await report(unit, Report.READ_FULL_STATUS)
    end = min(8 + int.from_bytes(data[4:8], "big"), len(data))
    found, at = [], 8
    while at + _DESCRIPTOR.size <= end:
        key, flags, port, added_bytes = _DESCRIPTOR.unpack_from(data, at)
        found.append(Registration(key, bool(flags & 0x02), port))
        at += _DESCRIPTOR.size + added_bytes
    return found
