"""Checks of VPD page 8Fh, from which hosts learn if and how a LUN copies by token."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.unit import Unit
from odx_target.initiator import cdb
from odx_target.initiator.copying.copy_limits import descriptors

PAGE = 0x8F
LIMITS, COMMANDS, FEATURES, TYPES = 0x0000, 0x0001, 0x0106, 0x0108
LIMITS_BYTES = 0x20
WINDOWS_ALLOCATION_BYTES = 255
NO_MAXIMUM = 0xFFFFFFFF
ZERO_TYPE = 0xFFFF0001
ROD_TYPE_ENTRY_BYTES = 64


async def body_of(unit: Unit) -> bytes:
    """Return page 8Fh without its header."""
    page = await unit.page(PAGE)
    require_equal("PAGE CODE", page[1:2], b"\x8f")
    return page[4:]


async def descriptor(unit: Unit, kind: int) -> bytes:
    """Return the content of a third-party copy descriptor. Raises NotSupported if the page does not have it."""
    found = dict(reversed(descriptors(await body_of(unit))))
    if kind not in found:
        raise NotSupported(f"page 8Fh has no descriptor {kind:04X}h")
    return found[kind]


async def limits_of(unit: Unit) -> bytes:
    """Return the content of the block device ROD token limits descriptor, padded to its length in the standard."""
    return (await descriptor(unit, LIMITS)).ljust(LIMITS_BYTES, b"\0")


async def is_listed(bench: Bench) -> None:
    listed = (await bench.first.page(0x00))[4:]
    require(PAGE in listed, "VPD page 00h does not list page 8Fh")


async def third_party_copy_bit(bench: Bench) -> None:
    data = await bench.first.good(cdb.inquiry(96), data_in_bytes=96)
    require(len(data) > 5 and bool(data[5] & 0x08), "the 3PC bit of the standard INQUIRY data is 0")


async def limits_come_first(bench: Bench) -> None:
    page = await bench.first.page(PAGE, WINDOWS_ALLOCATION_BYTES)
    require(len(page) >= 40, f"page 8Fh has {len(page)} bytes, expected 40 or more")
    require_equal("type of the first descriptor", int.from_bytes(page[4:6], "big"), LIMITS)
    require_equal("length of the first descriptor", int.from_bytes(page[6:8], "big"), LIMITS_BYTES)


async def descriptors_fill_the_page(bench: Bench) -> None:
    page = await bench.first.page(PAGE)
    require_equal("PAGE LENGTH", int.from_bytes(page[2:4], "big"), len(page) - 4)
    position = 4
    while position < len(page):
        length = int.from_bytes(page[position + 2 : position + 4], "big")
        require(length % 4 == 0, f"the descriptor at byte {position} has {length} bytes, which is no multiple of 4")
        position += 4 + length
    require_equal("end of the last descriptor", position, len(page))


async def descriptors_ascend(bench: Bench) -> None:
    kinds = [kind for kind, _ in descriptors(await body_of(bench.first))]
    require(kinds == sorted(set(kinds)), f"the descriptor types are not in ascending order: {[f'{k:04X}h' for k in kinds]}")


async def timeouts_agree(bench: Bench) -> None:
    limits = await limits_of(bench.first)
    maximum, default = (int.from_bytes(limits[at : at + 4], "big") for at in (8, 12))
    require(not maximum or default <= maximum, f"DEFAULT INACTIVITY TIMEOUT {default} is over the maximum {maximum}")


async def sizes_agree(bench: Bench) -> None:
    limits = await limits_of(bench.first)
    maximum, optimal = (int.from_bytes(limits[at : at + 8], "big") for at in (16, 24))
    require(
        not maximum or optimal <= maximum, f"OPTIMAL TRANSFER COUNT {optimal} is over MAXIMUM TOKEN TRANSFER SIZE {maximum}"
    )


async def commands_are_listed(bench: Bench) -> None:
    listed = await descriptor(bench.first, COMMANDS)
    found, position, end = set(), 1, 1 + listed[0] if listed else 0
    while position + 2 <= end:
        found |= {(listed[position], action) for action in listed[position + 2 : position + 2 + listed[position + 1]]}
        position += 2 + listed[position + 1]
    for name, command in (
        ("POPULATE TOKEN", (0x83, 0x10)),
        ("WRITE USING TOKEN", (0x83, 0x11)),
        ("RECEIVE ROD TOKEN INFORMATION", (0x84, 0x07)),
    ):
        require(command in found, f"the supported commands descriptor does not list {name}")


async def features_agree_with_limits(bench: Bench) -> None:
    unit = bench.first
    features, limits = await descriptor(unit, FEATURES), await limits_of(unit)
    maximum_s = int.from_bytes(features[20:24], "big")
    require_equal("MAXIMUM TOKEN INACTIVITY TIMEOUT", maximum_s, int.from_bytes(limits[8:12], "big"))
    entry = features[44:92]
    if len(entry) < 24 or entry[0]:
        raise NotSupported("the ROD token features descriptor has no entry for block devices")
    max_bytes, max_blocks = int.from_bytes(entry[8:16], "big"), int.from_bytes(limits[16:24], "big")
    require_equal("MAXIMUM TOKEN TRANSFER SIZE in bytes", max_blocks * unit.block_bytes, max_bytes)


async def rod_types_are_listed(bench: Bench) -> None:
    body = await descriptor(bench.first, TYPES)
    entries = [
        body[at : at + ROD_TYPE_ENTRY_BYTES] for at in range(4, 4 + int.from_bytes(body[2:4], "big"), ROD_TYPE_ENTRY_BYTES)
    ]
    kinds = [int.from_bytes(entry[:4], "big") for entry in entries]
    require(kinds == sorted(set(kinds)), "the ROD types are not in ascending order")
    made = [kind for kind, entry in zip(kinds, entries, strict=True) if entry[4] & 0x01]
    require(any(0x00800000 <= kind < 0x0080FFFF for kind in made), "no point in time ROD type has TOKEN_OUT")
    for kind, entry in zip(kinds, entries, strict=True):
        require(kind != ZERO_TYPE or not entry[4] & 0x01, "the block device zero ROD type has TOKEN_OUT")


async def short_allocation(bench: Bench) -> None:
    whole, short = await bench.first.page(PAGE), await bench.first.page(PAGE, 16)
    if short != whole[:16]:
        raise CheckFailed(f"an INQUIRY of page 8Fh with 16 bytes returns {short.hex(' ')}, expected {whole[:16].hex(' ')}")


_SPC, _SBC, TOKEN = "SPC-4 7.8.17", "SBC-3 6.5.6", Need.TOKEN_COPY

CHECKS = (
    Check("token.page.listed", "SPC-4 7.8.15", "VPD page 00h lists page 8Fh", is_listed, TOKEN),
    Check("token.page.3pc", "SPC-4 6.6.2", "The 3PC bit of the standard INQUIRY data is 1", third_party_copy_bit, TOKEN),
    Check("token.page.limits-first", "Windows", "The ROD token limits are the first descriptor", limits_come_first, TOKEN),
    Check("token.page.lengths", _SPC, "The descriptors of page 8Fh fill the page", descriptors_fill_the_page, TOKEN),
    Check("token.page.order", _SPC, "The descriptors of page 8Fh are in ascending order", descriptors_ascend, TOKEN),
    Check("token.page.timeouts", _SBC, "The default inactivity timeout is not over the maximum", timeouts_agree, TOKEN),
    Check("token.page.sizes", _SBC, "The optimal transfer count is not over the maximum", sizes_agree, TOKEN),
    Check("token.page.commands", "SPC-4 7.8.17.4", "Page 8Fh lists the token commands", commands_are_listed, TOKEN),
    Check("token.page.features", _SBC, "The ROD token features agree with the limits", features_agree_with_limits, TOKEN),
    Check("token.page.types", "SPC-4 7.8.17.9", "Page 8Fh lists a point in time ROD type", rod_types_are_listed, TOKEN),
    Check("token.page.allocation", "SPC-4 4.2.5.6", "A short allocation length cuts page 8Fh", short_allocation, TOKEN),
)
