"""Checks of the other primary commands: REPORT LUNS, REQUEST SENSE, mode pages, log pages and supported commands (SPC-4)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.primary.inquiry import designators_differ
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import encode_lun

ALLOCATION_BYTES = 4096
CACHING, CONTROL, ALL_PAGES = 0x08, 0x0A, 0x3F
UNUSED_MODE_PAGE = 0x2F


async def ready(bench: Bench) -> None:
    await bench.first.good(cdb.test_unit_ready())


async def unknown_operation_code(bench: Bench) -> None:
    await bench.first.refused(b"\xc7" + bytes(11), "5/20/00")


async def reports_its_lun(bench: Bench) -> None:
    data = await bench.first.good(cdb.report_luns(1 << 18), data_in_bytes=1 << 18)
    length = int.from_bytes(data[:4], "big")
    require_equal("LUN LIST LENGTH", length, len(data) - 8)
    luns = [int.from_bytes(data[at : at + 8], "big") for at in range(8, len(data), 8)]
    accepted = {encode_lun(bench.first.lun), bench.first.lun << 48, (bench.first.lun | 0x4000) << 48}
    require(bool(accepted & set(luns)), f"REPORT LUNS does not report LUN {bench.first.lun}")
    require(len(set(luns)) == len(luns), "REPORT LUNS reports a LUN twice")


async def short_report_luns(bench: Bench) -> None:
    """SPC-3 requires a refusal of a short allocation length, and SPC-4 cuts the data."""
    whole = await bench.first.good(cdb.report_luns(1 << 18), data_in_bytes=1 << 18)
    result = await bench.first.command(cdb.report_luns(8), b"", 8)
    if sense_code(result) != "5/24/00":
        require_equal("status", result.status, 0)
        require_equal("data of REPORT LUNS for 8 bytes", bytes(result.data_in), whole[:8])


async def reserved_select_report(bench: Bench) -> None:
    command = bytearray(cdb.report_luns(ALLOCATION_BYTES))
    command[2] = 0x7F
    await bench.first.refused(bytes(command), "5/24/00", data_in_bytes=ALLOCATION_BYTES)


async def request_sense(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("03000000fc00"), data_in_bytes=252)
    require(data[0] & 0x7F == 0x70, f"RESPONSE CODE is {data[0] & 0x7F:02X}h, expected 70h")
    require_equal("sense key, ASC and ASCQ", (data[2] & 0x0F, data[12], data[13]), (0, 0, 0))


async def request_descriptor_sense(bench: Bench) -> None:
    result = await bench.first.command(bytes.fromhex("03010000fc00"), b"", 252)
    if sense_code(result) == "5/24/00":
        raise NotSupported("the target has no sense data in descriptor format")
    data = bytes(result.data_in)
    require(data[:1] == b"\x72", f"RESPONSE CODE is {data[:1].hex()}h, expected 72h")


async def mode_page(bench: Bench, code: int) -> bytes:
    """Return a mode page of MODE SENSE (6), without header and block descriptors."""
    data = await bench.first.good(bytes((0x1A, 0x08, code, 0, 255, 0)), data_in_bytes=255)
    require_equal("MODE DATA LENGTH", data[0], len(data) - 1)
    require_equal("BLOCK DESCRIPTOR LENGTH", data[3], 0)
    return data[4:]


async def caching_page(bench: Bench) -> None:
    page = await mode_page(bench, CACHING)
    require_equal("PAGE CODE", page[0] & 0x3F, CACHING)
    require_equal("PAGE LENGTH", page[1], 0x12)
    require_equal("length of the page", len(page), 20)


async def control_page(bench: Bench) -> None:
    page = await mode_page(bench, CONTROL)
    require_equal("PAGE CODE", page[0] & 0x3F, CONTROL)
    require_equal("PAGE LENGTH", page[1], 0x0A)
    require_equal("length of the page", len(page), 12)


async def all_mode_pages(bench: Bench) -> None:
    pages, position, found = await mode_page(bench, ALL_PAGES), 0, []
    while position + 2 <= len(pages):
        has_subpage = pages[position] & 0x40
        found.append((pages[position] & 0x3F, pages[position + 1] if has_subpage else 0))
        position += 4 + int.from_bytes(pages[position + 2 : position + 4], "big") if has_subpage else 2 + pages[position + 1]
    require_equal("end of the last mode page", position, len(pages))
    require(found == sorted(found), f"the mode pages are not in ascending order: {found}")
    require({(CACHING, 0), (CONTROL, 0)} <= set(found), f"the caching or the control page is missing: {found}")


async def unknown_mode_page(bench: Bench) -> None:
    await bench.first.refused(bytes((0x1A, 0x08, UNUSED_MODE_PAGE, 0, 255, 0)), "5/24/00", data_in_bytes=255)


async def long_mode_sense(bench: Bench) -> None:
    page = await mode_page(bench, CACHING)
    data = await bench.first.good(bytes((0x5A, 0x08, CACHING, 0, 0, 0, 0, 0, 255, 0)), data_in_bytes=255)
    require_equal("MODE DATA LENGTH", int.from_bytes(data[:2], "big"), len(data) - 2)
    require_equal("caching page of MODE SENSE (10)", data[8:], page)


async def changeable_values(bench: Bench) -> None:
    data = await bench.first.good(bytes((0x1A, 0x08, 0x40 | CONTROL, 0, 255, 0)), data_in_bytes=255)
    require_equal("PAGE CODE", data[4] & 0x3F, CONTROL)
    require_equal("length of the changeable values", len(data), 16)


async def short_mode_select(bench: Bench) -> None:
    await bench.first.refused(bytes((0x15, 0x10, 0, 0, 3, 0)), "5/1A/00", data_out=bytes(3))


async def supported_commands(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("a30c000000000000ffff0000"), data_in_bytes=0xFFFF)
    require_equal("COMMAND DATA LENGTH", int.from_bytes(data[:4], "big"), len(data) - 4)
    codes = {data[at] for at in range(4, len(data), 8)}
    missing = {0x00, 0x12, 0x25, 0x28, 0xA0} - codes
    require(not missing, f"mandatory commands are not listed: {', '.join(f'{code:02X}h' for code in sorted(missing))}")


async def one_supported_command(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("a30c01280000000000ff0000"), data_in_bytes=255)
    require_equal("SUPPORT of READ (10)", data[1] & 0x07, 3)
    require_equal("CDB SIZE", int.from_bytes(data[2:4], "big"), 10)
    require_equal("operation code in the usage data", data[4], 0x28)


async def one_unsupported_command(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("a30c01c70000000000ff0000"), data_in_bytes=255)
    require_equal("SUPPORT of an unknown command", data[1] & 0x07, 1)


async def supported_log_pages(bench: Bench) -> None:
    data = await bench.first.good(bytes.fromhex("4d0040000000 00 00ff 00".replace(" ", "")), data_in_bytes=255)
    require_equal("PAGE CODE", data[0] & 0x3F, 0)
    require_equal("PAGE LENGTH", int.from_bytes(data[2:4], "big"), len(data) - 4)
    require(data[4:5] == b"\0", "the first listed log page is not page 00h")


async def new_session_attention(bench: Bench) -> None:
    """A logical unit reports its reset to every initiator once."""
    async with bench.other_initiator() as other:
        await other.command(cdb.test_unit_ready())
        require_equal("response to LOGICAL UNIT RESET", await bench.first.path.reset_logical_unit(bench.first.lun), 0)
        result = await other.once(cdb.test_unit_ready())
        require(
            sense_code(result)[:4] == "6/29",
            f"sense after LOGICAL UNIT RESET is {sense_code(result) or 'missing'}, expected 6/29",
        )
        require_equal("status of the next command", (await other.once(cdb.test_unit_ready())).status, 0)


async def inquiry_before_attention(bench: Bench) -> None:
    async with bench.other_initiator() as other:
        await other.command(cdb.test_unit_ready())
        await bench.first.path.reset_logical_unit(bench.first.lun)
        require_equal("status of INQUIRY", (await other.once(cdb.inquiry(96), b"", 96)).status, 0)
        result = await other.once(cdb.test_unit_ready())
        require(sense_code(result)[:4] == "6/29", "INQUIRY has cleared the unit attention")


_LUNS, _SENSE, _MODE, _CODES = "SPC-4 6.33", "SPC-4 6.39", "SPC-4 6.11", "SPC-4 6.35"
RESETS = Need.DESTRUCTIVE

CHECKS = (
    Check("primary.unit.ready", "SPC-4 6.47", "TEST UNIT READY succeeds", ready),
    Check("primary.unit.unknown", "SPC-4 4.3", "An unknown operation code is refused", unknown_operation_code),
    Check(
        "primary.unit.designators", "SPC-4 7.8.6", "Two LUNs have different designators", designators_differ, Need.SECOND_LUN
    ),
    Check("primary.luns.list", _LUNS, "REPORT LUNS reports the LUN", reports_its_lun),
    Check("primary.luns.allocation", _LUNS, "A short allocation length cuts the data or is refused", short_report_luns),
    Check("primary.luns.select", _LUNS, "A reserved SELECT REPORT is refused", reserved_select_report),
    Check("primary.sense.fixed", _SENSE, "REQUEST SENSE reports no sense", request_sense),
    Check("primary.sense.descriptor", _SENSE, "REQUEST SENSE with DESC has descriptor format", request_descriptor_sense),
    Check("primary.mode.caching", "SBC-3 6.4.5", "The caching page has its length", caching_page),
    Check("primary.mode.control", "SPC-4 7.5.8", "The control page has its length", control_page),
    Check("primary.mode.all", _MODE, "All mode pages follow each other in order", all_mode_pages),
    Check("primary.mode.unknown", _MODE, "An unknown mode page is refused", unknown_mode_page),
    Check("primary.mode.long", "SPC-4 6.12", "MODE SENSE (10) reports the same page", long_mode_sense),
    Check("primary.mode.changeable", _MODE, "The changeable values have the length of the page", changeable_values),
    Check("primary.mode.select", "SPC-4 6.9", "MODE SELECT of an incomplete header is refused", short_mode_select, RESETS),
    Check("primary.codes.all", _CODES, "The supported commands have the mandatory ones", supported_commands),
    Check("primary.codes.one", _CODES, "A supported command reports its CDB", one_supported_command),
    Check("primary.codes.unsupported", _CODES, "An unsupported command is reported as such", one_unsupported_command),
    Check("primary.log.supported", "SPC-4 6.8", "The supported log pages begin with page 00h", supported_log_pages),
    Check(
        "primary.attention.reset", "SAM-5 5.14", "LOGICAL UNIT RESET is reported once to others", new_session_attention, RESETS
    ),
    Check(
        "primary.attention.inquiry", "SAM-5 5.14", "INQUIRY does not report a unit attention", inquiry_before_attention, RESETS
    ),
)
