"""Checks of INQUIRY and of the vital product data pages (SPC-4 6.6, 7.8)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function
from odx_target.conformance.faults import NotSupported, require, require_equal
from odx_target.conformance.unit import sense_code
from odx_target.initiator import cdb

SUPPORTED_PAGES, SERIAL_NUMBER, IDENTIFICATION = 0x00, 0x80, 0x83
BLOCK_LIMITS, CHARACTERISTICS, PROVISIONING = 0xB0, 0xB1, 0xB2
STANDARD_BYTES = 255
NOT_CONNECTED, NOT_SUPPORTED = 0x20, 0x60
"""Peripheral qualifiers 001b and 011b, as they stand in byte 0."""
UNUSED_PAGE = 0x7F
MIN_SPC_3 = 5
UNUSED_LUN = 16000
"""A LUN that no target under test has."""


async def standard(bench: Bench) -> bytes:
    """Return standard INQUIRY data."""
    return await bench.first.good(cdb.inquiry(STANDARD_BYTES), data_in_bytes=STANDARD_BYTES)


async def is_a_disk(bench: Bench) -> None:
    data = await standard(bench)
    require(len(data) >= 36, f"standard INQUIRY data has {len(data)} bytes, expected 36 or more")
    require_equal("PERIPHERAL QUALIFIER and PERIPHERAL DEVICE TYPE", data[0], 0)


async def version(bench: Bench) -> None:
    data = await standard(bench)
    require(data[2] >= MIN_SPC_3, f"VERSION is {data[2]}, expected {MIN_SPC_3} or more")
    require_equal("RESPONSE DATA FORMAT", data[3] & 0x0F, 2)


async def additional_length(bench: Bench) -> None:
    data = await standard(bench)
    require_equal("ADDITIONAL LENGTH", data[4], len(data) - 5)


async def texts(bench: Bench) -> None:
    data = (await standard(bench))[8:36]
    require(all(0x20 <= byte <= 0x7E for byte in data), f"vendor, product and revision are not ASCII: {data.hex(' ')}")


async def short_allocation(bench: Bench) -> None:
    whole = await standard(bench)
    for size in (0, 1, 5, 35):
        data = await bench.first.good(cdb.inquiry(size), data_in_bytes=size)
        require_equal(f"INQUIRY data for {size} bytes", data, whole[:size])


async def page_without_evpd(bench: Bench) -> None:
    await bench.first.refused(bytes.fromhex("12008000ff00"), "5/24/00", data_in_bytes=255)


async def unknown_page(bench: Bench) -> None:
    await bench.first.refused(cdb.inquiry(255, UNUSED_PAGE), "5/24/00", data_in_bytes=255)


async def supported_pages(bench: Bench) -> None:
    page = await bench.first.page(SUPPORTED_PAGES)
    listed = page[4:]
    require_equal("PAGE LENGTH", int.from_bytes(page[2:4], "big"), len(listed))
    require(list(listed) == sorted(set(listed)), f"the page codes are not in ascending order: {listed.hex(' ')}")
    for code in (SUPPORTED_PAGES, IDENTIFICATION):
        require(code in listed, f"page {code:02X}h is not listed")


async def every_listed_page(bench: Bench) -> None:
    for code in (await bench.first.page(SUPPORTED_PAGES))[4:]:
        page = await bench.first.page(code)
        require_equal(f"PAGE CODE of page {code:02X}h", page[1:2], bytes([code]))
        require_equal(f"PAGE LENGTH of page {code:02X}h", int.from_bytes(page[2:4], "big"), len(page) - 4)


async def designator(bench: Bench) -> None:
    page = (await bench.first.page(IDENTIFICATION))[4:]
    kinds, position = [], 0
    while position + 4 <= len(page):
        if not page[position + 1] & 0x30:
            kinds.append(page[position + 1] & 0x0F)
        position += 4 + page[position + 3]
    require_equal("end of the last designation descriptor", position, len(page))
    require(bool({2, 3, 8} & set(kinds)), "no NAA, EUI-64 or name designator names the LUN")


async def designators_differ(bench: Bench) -> None:
    require(bench.first.identity != bench.second.identity, "the two LUNs have the same designator")


async def serial_number(bench: Bench) -> None:
    listed = (await bench.first.page(SUPPORTED_PAGES))[4:]
    if SERIAL_NUMBER not in listed:
        raise NotSupported("page 80h is not listed")
    page = await bench.first.page(SERIAL_NUMBER)
    require(len(page) > 4, "the serial number is empty")
    require(all(0x20 <= byte <= 0x7E for byte in page[4:]), f"the serial number is not ASCII: {page[4:].hex(' ')}")


def page_length(code: int, expected: int) -> Function:
    """Return the function of a check of the length of an optional page."""

    async def run(bench: Bench) -> None:
        if code not in (await bench.first.page(SUPPORTED_PAGES))[4:]:
            raise NotSupported(f"page {code:02X}h is not listed")
        page = await bench.first.page(code)
        length = int.from_bytes(page[2:4], "big")
        is_right = length >= expected if code == PROVISIONING else length == expected
        require(is_right, f"PAGE LENGTH of page {code:02X}h is {length}, expected {expected}")

    return run


async def missing_unit(bench: Bench) -> None:
    result = await bench.first.path.execute(UNUSED_LUN, cdb.inquiry(96), b"", 96)
    require_equal("status of INQUIRY to a LUN without logical unit", result.status, 0)
    found = bytes(result.data_in)[:1]
    require(found in {b"\x7f", b"\x3f", b"\x20"}, f"byte 0 is {found.hex()}, expected the peripheral qualifier 011b or 001b")


async def command_to_a_missing_unit(bench: Bench) -> None:
    result = await bench.first.path.execute(UNUSED_LUN, cdb.test_unit_ready())
    require_equal("sense of TEST UNIT READY to a LUN without logical unit", sense_code(result), "5/25/00")


_INQUIRY, _PAGES = "SPC-4 6.6", "SPC-4 7.8"

CHECKS = (
    Check("primary.inquiry.disk", _INQUIRY, "Standard INQUIRY data describes a disk", is_a_disk),
    Check("primary.inquiry.version", _INQUIRY, "VERSION is SPC-3 or later", version),
    Check("primary.inquiry.length", _INQUIRY, "ADDITIONAL LENGTH fits the data", additional_length),
    Check("primary.inquiry.texts", _INQUIRY, "Vendor, product and revision are ASCII", texts),
    Check("primary.inquiry.allocation", "SPC-4 4.2.5.6", "A short allocation length cuts the data", short_allocation),
    Check("primary.inquiry.no-evpd", _INQUIRY, "A page code without EVPD is refused", page_without_evpd),
    Check("primary.inquiry.unknown", _INQUIRY, "An unknown page is refused", unknown_page),
    Check("primary.inquiry.missing", "SPC-4 6.6.2", "INQUIRY to an unused LUN reports no device", missing_unit),
    Check("primary.page.supported", _PAGES, "Page 00h lists itself and page 83h in order", supported_pages),
    Check("primary.page.every", _PAGES, "Every listed page has its code and its length", every_listed_page),
    Check("primary.page.designator", "SPC-4 7.8.6", "Page 83h names the LUN", designator),
    Check("primary.page.serial", "SPC-4 7.8.13", "The serial number is ASCII", serial_number),
    Check("primary.page.block-limits", "SBC-3 6.5.3", "Page B0h has 60 bytes", page_length(BLOCK_LIMITS, 0x3C)),
    Check("primary.page.characteristics", "SBC-3 6.5.2", "Page B1h has 60 bytes", page_length(CHARACTERISTICS, 0x3C)),
    Check("primary.page.provisioning", "SBC-3 6.5.4", "Page B2h has 4 bytes or more", page_length(PROVISIONING, 4)),
    Check("primary.unit.missing", "SPC-4 4.5.6", "A command to an unused LUN is refused", command_to_a_missing_unit),
)
