"""Attacks of a hostile target on the readers of data: INQUIRY, VPD pages, capacities, sense data, answers about copies."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from odx_target.initiator import inquiry
from odx_target.initiator.copying.copy_limits import read_copy_limits
from odx_target.initiator.copying.token_commands import read_rod_token_information
from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.esxi.operating_parameters import read_operating_parameters
from odx_target.initiator.result import CommandResult
from odx_target.initiator.sense import describe_result, read_sense
from odx_target.initiator.windows.sense_table import read_sense_data
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.one_line import outcome_of
from tests.fuzz.values import bytes_of, changed_bytes, number

LIMITS_PAGE = bytes.fromhex("0000002000000000000000000040000002580000003c") + bytes(16)


def _sense(data: bytes) -> None:
    read_sense(data)
    text = describe_result(CommandResult(2, sense=data))
    if not text.isprintable():
        raise Finding("sense data is described by more than one printable line", repr(text))


def _standard(data: bytes) -> None:
    found = inquiry.read_standard_inquiry(data)
    if not found.vendor.isprintable() or not found.product.isprintable():
        raise Finding("the vendor or product of a disk is not printable", repr(found))


READERS: Mapping[str, Callable[[bytes], Any]] = {
    "standard inquiry": _standard,
    "identity": lambda data: inquiry.read_identity(inquiry.read_page(data, 0x83)),
    "block limits": lambda data: inquiry.read_block_limits(inquiry.read_page(data, 0xB0)),
    "copy limits": lambda data: read_copy_limits(inquiry.read_page(data, 0x8F)),
    "capacity 10": inquiry.read_capacity_10,
    "capacity 16": inquiry.read_capacity_16,
    "sense": _sense,
    "windows sense": read_sense_data,
    "rod token information": read_rod_token_information,
    "operating parameters": read_operating_parameters,
}
SEEDS: Mapping[str, bytes] = {
    "standard inquiry": bytes.fromhex("000006021f0800024f44582020202020") + b"volume          0001",
    "identity": bytes.fromhex(
        "0083002c0103001060000000000000000000000000000001020000084f445820313233340103000860000000000000010"[:-1]
    ),
    "block limits": bytes.fromhex("00b0003c00010000") + bytes(56),
    "copy limits": bytes.fromhex("008f0024") + LIMITS_PAGE,
    "capacity 10": bytes.fromhex("000001ff00000200"),
    "capacity 16": bytes.fromhex("00000000000001ff00000200") + bytes(20),
    "sense": bytes.fromhex("700005000000000a0000000024000000c000"[:36]),
    "windows sense": bytes.fromhex("72052400000000"),
    "rod token information": (546).to_bytes(4, "big") + bytes((0x10, 1)) + bytes(26) + (514).to_bytes(4, "big") + bytes(516),
    "operating parameters": (0x2C).to_bytes(4, "big") + bytes(44) + b"\x04\x02\x0a\x0b\xe4",
}


def new_script(random: Random) -> Script:
    return [new_step(random)]


def new_step(random: Random) -> Step:
    name = random.choice(sorted(READERS))
    data = SEEDS[name]
    if random.randrange(4) == 0:
        at = random.randrange(len(data))
        data = data[:at] + number(random, 16).to_bytes(2, "big") + data[at + 2 :]
    return [name, (changed_bytes(random, data) if random.randrange(4) else data[: random.randrange(len(data) + 1)]).hex()]


def run(script: Script) -> set[str]:
    """Read data. Only BadAnswer with a message of one line may be raised."""
    outcomes = set()
    for step in script:
        read = READERS.get(str(step[0])) if step else None
        if read is None or len(step) < 2:
            continue
        data = bytes_of(step[1])
        outcomes.add(f"{step[0]} {outcome_of(lambda read=read, data=data: read(data), BadAnswer)}")  # type: ignore[misc]
    return outcomes
