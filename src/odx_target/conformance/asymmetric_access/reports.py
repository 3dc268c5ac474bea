"""Checks of REPORT TARGET PORT GROUPS, and of what INQUIRY says about target port groups."""

from odx_target.conformance.asymmetric_access.commands import (
    ALLOCATION_BYTES,
    EXPLICIT,
    EXTENDED,
    HEADER_BYTES,
    LENGTH_ONLY,
    SUPPORT_BITS,
    designators,
    groups_of,
    modes,
    own_group,
    parse_groups,
    report,
    report_cdb,
    require_access,
    set_command,
)
from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb
from odx_target.initiator.result import Status

RESERVED_FORMAT = 7
STATUS_CODES = (0, 1, 2)
UNSUPPORTED = {"5/20/00", "5/24/00"}


async def header(bench: Bench) -> None:
    await require_access(bench.first)
    data = await report(bench.first)
    require_equal("RETURN DATA LENGTH", int.from_bytes(data[:4], "big"), len(data) - 4)


async def descriptors(bench: Bench) -> None:
    await require_access(bench.first)
    groups = parse_groups(await report(bench.first))
    numbers = [group.number for group in groups]
    require(len(set(numbers)) == len(numbers) > 0, f"the groups are not different: {numbers}")
    for group in groups:
        require(group.status_code in STATUS_CODES, f"STATUS CODE of group {group.number} is {group.status_code}")


async def ports(bench: Bench) -> None:
    await require_access(bench.first)
    found = [port for group in await groups_of(bench.first) for port in group.ports]
    require(len(set(found)) == len(found) > 0, f"a relative target port is in two groups, or there is none: {found}")
    require(0 not in found, "a relative target port identifier is 0")


async def states(bench: Bench) -> None:
    await require_access(bench.first)
    for group in parse_groups(await report(bench.first)):
        name = f"ASYMMETRIC ACCESS STATE of group {group.number}"
        require(group.state in SUPPORT_BITS, f"{name} is {group.state:X}h, which is reserved")
        require(group.supports(group.state), f"{name} is {group.state:X}h, which byte 1 does not list as supported")


async def allocation(bench: Bench) -> None:
    await require_access(bench.first)
    whole = await report(bench.first)
    for size in (0, 1, 4, 11):
        result = await bench.first.command(report_cdb(size), b"", size)
        require_equal(f"status of REPORT TARGET PORT GROUPS for {size} bytes", result.status, Status.GOOD)
        require_equal(f"target port groups for {size} bytes", bytes(result.data_in), whole[:size])


async def extended(bench: Bench) -> None:
    """A device server of SPC-3 ignores the field and sends the short header."""
    await require_access(bench.first)
    short = await report(bench.first)
    result = await bench.first.command(report_cdb(data_format=EXTENDED), b"", ALLOCATION_BYTES)
    data = bytes(result.data_in)
    if sense_code(result) == "5/24/00" or data == short:
        raise NotSupported("the target has no extended header")
    require_equal("status", result.status, Status.GOOD)
    require_equal("RETURN DATA LENGTH", int.from_bytes(data[:4], "big"), len(data) - 4)
    require_equal("FORMAT TYPE", data[4] >> 4 & 7, EXTENDED)
    require_equal("descriptors behind the extended header", data[HEADER_BYTES[EXTENDED] :], short[HEADER_BYTES[LENGTH_ONLY] :])


async def reserved_format(bench: Bench) -> None:
    await require_access(bench.first)
    result = await bench.first.command(report_cdb(data_format=EXTENDED), b"", ALLOCATION_BYTES)
    if sense_code(result) == "5/24/00" or bytes(result.data_in) == await report(bench.first):
        raise NotSupported("the target has no extended header")
    await bench.first.refused(report_cdb(data_format=RESERVED_FORMAT), "5/24/00", data_in_bytes=ALLOCATION_BYTES)


async def modes_and_commands(bench: Bench) -> None:
    """An empty parameter list of SET TARGET PORT GROUPS changes nothing. Another check is about its status."""
    found = await modes(bench.first)
    for name, is_expected, command in (
        ("REPORT TARGET PORT GROUPS", bool(found), (report_cdb(), b"", ALLOCATION_BYTES)),
        ("SET TARGET PORT GROUPS", bool(found & EXPLICIT), (set_command([])[0][:6] + bytes(6), b"", 0)),
    ):
        result = await bench.first.command(*command)
        is_refused = sense_code(result) in UNSUPPORTED
        require(is_refused != is_expected, f"TPGS is {found}, but {name} is {'refused' if is_refused else 'accepted'}")


async def listed_commands(bench: Bench) -> None:
    found = await modes(bench.first)
    for name, code, is_expected in (("REPORT", 0xA3, bool(found)), ("SET", 0xA4, bool(found & EXPLICIT))):
        data = await bench.first.good(bytes((0xA3, 0x0C, 2, code, 0, 0x0A, 0, 0, 0, 255, 0, 0)), data_in_bytes=255)
        require_equal(f"SUPPORT of {name} TARGET PORT GROUPS with TPGS {found}", data[1] & 7 == 3, is_expected)


async def page_group(bench: Bench) -> None:
    await require_access(bench.first)
    require_equal("number of target port group designators in page 83h", len(await designators(bench.first, 5)), 1)


async def page_port(bench: Bench) -> None:
    await require_access(bench.first)
    found = await designators(bench.first, 4)
    require_equal("number of relative target port designators in page 83h", len(found), 1)
    group = await own_group(bench.first)
    require(found[0] in group.ports, f"port {found[0]} of page 83h is not in group {group.number}: {group.ports}")


async def own_port_works(bench: Bench) -> None:
    """TEST UNIT READY through a port in an active state succeeds, and is refused with the sense of any other state."""
    await require_access(bench.first)
    group = await own_group(bench.first)
    result = await bench.first.command(cdb.test_unit_ready())
    expected = {2: "2/04/0B", 3: "2/04/0C", 14: "2/04/12", 15: "2/04/0A"}.get(group.state, "")
    require_equal(f"sense of TEST UNIT READY in state {group.state:X}h", sense_code(result), expected)


_REPORT, _INQUIRY, _PAGE = "SPC-4 6.37", "SPC-4 6.6.2", "SPC-4 7.8.6"

CHECKS = (
    Check("alua.inquiry.tpgs", _INQUIRY, "REPORT and SET TARGET PORT GROUPS work if TPGS says so", modes_and_commands),
    Check("alua.inquiry.codes", "SPC-4 6.35", "The supported commands agree with TPGS", listed_commands),
    Check("alua.page.group", _PAGE, "Page 83h names the target port group", page_group),
    Check("alua.page.port", _PAGE, "Page 83h names a port that is in this group", page_port),
    Check("alua.report.header", _REPORT, "RETURN DATA LENGTH fits the data", header),
    Check("alua.report.descriptors", _REPORT, "The descriptors of different groups fill the data", descriptors),
    Check("alua.report.ports", _REPORT, "Each relative target port is in one group", ports),
    Check("alua.report.states", _REPORT, "Each state is one that the group supports", states),
    Check("alua.report.allocation", "SPC-4 4.2.5.6", "A short allocation length cuts the data", allocation),
    Check("alua.report.extended", _REPORT, "The extended header precedes the same descriptors", extended),
    Check("alua.report.format", _REPORT, "A reserved PARAMETER DATA FORMAT is refused", reserved_format),
    Check("alua.report.ready", "SPC-4 5.15.2.4", "TEST UNIT READY agrees with the state of its port", own_port_works),
)
