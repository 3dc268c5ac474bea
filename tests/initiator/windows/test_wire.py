"""The rules of Windows for PDUs: a scripted target breaks a rule once, or each time, and Windows drops the connection."""

import struct
from collections.abc import Callable

import pytest
import trio

from odx_target.initiator.windows.rules import Rule, Weight
from odx_target.initiator.windows.session.pdu_rules import judge_header
from odx_target.iscsi.pdu import headers as pdus
from odx_target.iscsi.pdu.headers import PDU_CLASSES, ReadyToTransfer, ScsiDataIn, ScsiResponse
from odx_target.iscsi.pdu.opcodes import Opcode
from tests.initiator.windows.over_wire import SIZE_BYTES, over_wire
from tests.initiator.windows.wire_target import WireTarget

Change = Callable[[bytes], bytes]


def byte(at: int, value: int) -> Change:
    return lambda encoded: encoded[:at] + bytes([value]) + encoded[at + 1 :]


def number(at: int, value: int) -> Change:
    return lambda encoded: encoded[:at] + struct.pack(">L", value) + encoded[at + 4 :]


def added(at: int, value: int) -> Change:
    return lambda encoded: number(at, struct.unpack_from(">L", encoded, at)[0] + value)(encoded)


def data(segment: bytes, *, pad: bool = True) -> Change:
    """Return a change that replaces the data segment of a PDU."""

    def change(encoded: bytes) -> bytes:
        header = encoded[:4] + struct.pack(">L", len(segment)) + encoded[8:48]
        return header + segment + (bytes(-len(segment) & 3) if pad else b"")

    return change


def both(*changes: Change) -> Change:
    def change(encoded: bytes) -> bytes:
        for one in changes:
            encoded = one(encoded)
        return encoded

    return change


def repeated(encoded: bytes) -> bytes:
    return encoded + encoded


def unpadded(encoded: bytes) -> bytes:
    """Put a ping with one unpadded byte of data before the PDU, so that the PDU is read from the wrong byte on.

    A second ping after the PDU provides the bytes for which the reader would otherwise wait.
    """
    ping = bytes([0x20, 0x80, 0, 0]) + struct.pack(">L", 1) + bytes(8) + b"\xff" * 8 + encoded[24:36] + bytes(12)
    return ping + b"x" + encoded + ping


BROKEN_PDUS: list[tuple[Rule, type, Change]] = [
    # rule, the PDU that breaks it, function that changes the PDU
    (Rule.RESERVED_BITS, ScsiDataIn, byte(2, 1)),
    (Rule.RESERVED_BITS, ScsiResponse, byte(8, 0x80)),
    (Rule.RESERVED_BITS, ScsiResponse, byte(1, 0)),
    (Rule.RESERVED_BITS, ReadyToTransfer, byte(3, 1)),
    (Rule.R2T_FLAGS, ReadyToTransfer, byte(1, 0)),
    (Rule.R2T_FLAGS, ReadyToTransfer, byte(1, 0xC0)),
    (Rule.PADDING, ScsiResponse, unpadded),
    (Rule.UNKNOWN_OPCODE, ScsiResponse, byte(0, 0x3E)),
    (Rule.UNKNOWN_OPCODE, ScsiResponse, byte(0, 0x01)),
    (Rule.SEGMENT_TOO_LONG, ScsiDataIn, number(4, 65_537)),
    (Rule.TOO_MUCH_DATA, ScsiDataIn, data(bytes(65_536))),
    (Rule.UNKNOWN_TASK_TAG, ScsiResponse, number(16, 0x7777)),
    (Rule.UNKNOWN_TASK_TAG, ScsiResponse, repeated),
    (Rule.INVALID_R2T, ReadyToTransfer, number(40, 0)),
    (Rule.INVALID_R2T, ReadyToTransfer, added(44, 1)),
    (Rule.INVALID_R2T, ReadyToTransfer, number(36, 1)),
    (Rule.STAT_SN, ScsiResponse, added(24, 1)),
    (Rule.DATA_IN_RESPONSE, ScsiResponse, data(bytes(512))),
    (Rule.RESIDUAL, ScsiDataIn, both(byte(1, 0x81), number(44, 0))),
    (Rule.RESIDUAL, ScsiDataIn, both(byte(1, 0x83), number(44, 1))),
    (Rule.RESIDUAL, ScsiDataIn, both(byte(1, 0x87), number(44, 255))),
    (Rule.RESIDUAL, ScsiResponse, byte(1, 0x82)),
    (Rule.RESIDUAL, ScsiResponse, number(44, 4)),
    (Rule.INVALID_PDU, ScsiDataIn, number(40, 4)),
    (Rule.INVALID_PDU, ScsiResponse, byte(2, 1)),
    (Rule.INVALID_PDU, ScsiResponse, byte(0, 0x23)),
]
BROKEN_DIGESTS: list[tuple[Rule, type, Change]] = [
    (Rule.HEADER_DIGEST, ScsiDataIn, lambda encoded: byte(48, encoded[48] ^ 1)(encoded)),
    (Rule.DATA_DIGEST, ScsiDataIn, lambda encoded: encoded[:-1] + bytes([encoded[-1] ^ 1])),
]


def named(value: object) -> str | None:
    return value.name if isinstance(value, Rule) else value.__name__ if isinstance(value, type) else None


@pytest.mark.parametrize(("rule", "kind", "change"), BROKEN_PDUS + BROKEN_DIGESTS, ids=named)
async def test_windows_drops_the_connection_logs_in_again_and_goes_on(
    rule: Rule, kind: type, change: Change, autojump_clock: trio.testing.MockClock
) -> None:
    target = WireTarget(digests=rule in {Rule.HEADER_DIGEST, Rule.DATA_DIGEST})
    async with over_wire(target) as wire:
        began = target.logins
        await wire.disks[0].flush()
        target.changes.append((kind, change))
        report = await wire.copy() if kind is not ReadyToTransfer else await copy_with_r2t(wire)
        assert wire.rules() == [rule]
        assert target.changes == []
        assert target.logins == began + 1
        assert wire.events() == [20, 34]
        assert (report.offloaded_bytes, report.stop) == (SIZE_BYTES, None)
    assert rule.value.weight is Weight.DROPS


async def copy_with_r2t(wire):  # type: ignore[no-untyped-def]
    """Make an ordinary write that is longer than its unsolicited data, then copy."""
    await wire.disks[1].write(100_000, bytes(16_384))
    wire.target.disks[1].content.data.clear()
    return await wire.copy()


async def test_a_target_that_breaks_it_each_time_is_tried_as_often_as_the_command_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    target = WireTarget()
    async with over_wire(target) as wire:
        writes = iter(range(5))

        def spoil(encoded: bytes) -> bytes:
            if next(writes) < 2:
                target.changes.append((ScsiDataIn, spoil))
            return byte(2, 1)(encoded)

        target.changes.append((ScsiDataIn, spoil))
        report = await wire.copy()
        kinds = [(cdb[0], cdb[1]) for _, cdb in target.tokens()]
        assert kinds[:3] == [(0x83, 0x10), (0x84, 0x07), (0x84, 0x07)]  # sent twice; each time Windows drops the connection
        assert wire.rules() == [Rule.RESERVED_BITS] * 2 + [Rule.INFORMATION_FAILED] + [Rule.RESERVED_BITS]
        assert wire.events() == [20, 34] * 3
        assert (report.offloaded_bytes, report.ordinary_bytes) == (0, SIZE_BYTES)


def test_every_pdu_of_a_target_has_its_bits() -> None:
    for opcode, kind in PDU_CLASSES.items():
        if opcode < Opcode.NOP_IN:
            continue
        good = kind().encode_header()
        assert judge_header(good) is None, kind
        assert judge_header(bytes([good[0] | 0x40]) + good[1:]) is not None, kind
        broken = [at for at in range(48) if judge_header(good[:at] + bytes([good[at] | 0x20]) + good[at + 1 :]) is not None]
        assert broken, kind


def test_what_initiators_send_is_no_targets() -> None:
    wrong = judge_header(pdus.ScsiCommand(cdb=bytes(16)).encode_header())
    assert wrong is not None
    assert wrong[0] is Rule.UNKNOWN_OPCODE
