"""The checks of PDUs over TCP: our array passes them, and each finds a fault of a target.

A faulty target is our array behind a stream that changes its PDUs. Only the connections of the checks have the fault.
"""

import hashlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import pytest
import trio

from odx_target.conformance.bench import Bench
from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.exchange import Records
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import MAX_SEGMENT_BYTES, RawConnection
from odx_target.conformance.reservations.checks import TEST_UNIT_READY
from odx_target.conformance.reservations.commands import KEY, Action, Type, send, two_initiators
from odx_target.conformance.runner import Result, run_checks
from odx_target.conformance.wire import WireEquipment
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.framing import FrameReader, append_pdu
from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutResponse,
    NopIn,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
    decode_header,
)
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.conformance.test_our_array import explained
from tests.settings import searching
from tests.target.running import running

MIB = 1 << 20
CONFIG = Config(luns=(LunConfig("a", 16 * MIB), LunConfig("b", 16 * MIB)), portals=(Portal("127.0.0.1", 0),))
WIRE = [check for check in CHECKS if check.needs & Need.PORTAL]

Fault: TypeAlias = Callable[[Pdu, bytes], Iterable[tuple[Pdu, bytes]]]
"""Takes a PDU of the target and its data, and returns the PDUs that the check receives instead."""


def entropy() -> Callable[[int], bytes]:
    numbers = itertools.count()
    return lambda size: hashlib.shake_256(str(next(numbers)).encode()).digest(size)


@dataclass
class FaultyStream(trio.abc.Stream):
    """A stream whose received PDUs are changed. `digests` are those that the login has agreed on."""

    stream: trio.abc.Stream
    fault: Fault
    wanted: dict[str, str] = field(default_factory=dict)
    _frames: FrameReader = field(default_factory=lambda: FrameReader(MAX_SEGMENT_BYTES))
    _rest: bytes = b""

    async def send_all(self, data: bytes) -> None:  # type: ignore[override]
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.stream.aclose()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        while True:
            more = bytes(await self.stream.receive_some(max_bytes))
            if not more:
                return b""
            self._rest += more
            changed = b"".join(self._changed())
            if changed:
                return changed

    def _changed(self) -> Iterable[bytes]:
        while (frame := self._frames.cut(memoryview(self._rest), 0)) is not None:
            end, _, data, _ = frame
            pdu, content = decode_header(self._rest), bytes(data)
            self._rest = self._rest[end:]
            digests = {"header_digest": self._frames.header_digest, "data_digest": self._frames.data_digest}
            for other, other_data in self.fault(pdu, content):
                other.data_segment_length = len(other_data)
                output: list[Any] = []
                append_pdu(output, other.encode_header(), [other_data] if other_data else (), **digests)
                yield b"".join(output)
            self._note(pdu, content)

    def _note(self, pdu: Pdu, content: bytes) -> None:
        if isinstance(pdu, LoginResponse):
            self.wanted.update({key: "CRC32C" for key in ("HeaderDigest", "DataDigest") if f"{key}=CRC32C".encode() in content})
            if pdu.transit and pdu.next_stage == 3:
                self._frames.header_digest = "HeaderDigest" in self.wanted
                self._frames.data_digest = "DataDigest" in self.wanted


class FaultyWire(WireEquipment):
    """Equipment whose raw connections have a fault."""

    fault: Fault

    async def features(self) -> Features:
        return Features({})

    @asynccontextmanager
    async def open(self, records: Records) -> AsyncIterator[Bench]:
        async with super().open(records) as bench:
            bench.open_connection = self.faulty_connection
            yield bench

    @asynccontextmanager
    async def faulty_connection(self, records: Records) -> AsyncIterator[RawConnection]:
        async def connect(portal: Address) -> trio.abc.Stream:
            return FaultyStream(await connect_tcp(portal), self.fault)

        plain = WireEquipment(self.first, self.second, self.options, self.entropy, connect=connect)
        async with plain._connection(records) as connection:
            yield connection


def equipment(array: Array, kind: type[WireEquipment] = WireEquipment) -> WireEquipment:
    address, name = Address("127.0.0.1", array.portals[0].port), array.config.iqn
    options = SessionOptions(bytes(6), command_timeout_s=10.0)
    return kind(IscsiUrl(address, name, 0), IscsiUrl(address, name, 1), options, entropy())


async def checked(check: Check, fault: Fault | None = None) -> Result:
    kind = WireEquipment if fault is None else type("WithFault", (FaultyWire,), {"fault": staticmethod(fault)})
    async with running(CONFIG) as array:
        (result,) = await run_checks([check], equipment(array, kind), given=~Need.NOTHING, report=lambda _: None)
    return result


@pytest.mark.parametrize("check", WIRE, ids=lambda check: check.identifier)
async def test_our_array_passes(check: Check) -> None:
    result = await checked(check)
    assert result.verdict is Verdict.PASS, explained(result)


async def test_every_other_area_over_tcp() -> None:
    """One check of each area runs over TCP too; the others run against the array in memory."""
    names = ("token.write.other-lun", "token.event.lost-path", "xcopy.copy.other-lun", "reserve.end.preempt", "block.same.16")
    checks = [check for check in CHECKS if check.identifier in names]
    async with running(CONFIG) as array:
        results = await run_checks(checks, equipment(array), given=~Need.NOTHING, report=lambda _: None)
    assert [result.verdict for result in results] == [Verdict.PASS] * len(names)


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_interrupted_check_leaves_no_reservation(is_lost: bool) -> None:
    """Other hosts could not use the LUN any more, even if the session of the check is lost."""
    async with running(CONFIG) as array, trio.open_nursery() as nursery:

        async def reserve(bench: Bench) -> None:
            async with two_initiators(bench) as (unit, _):
                await send(unit, Action.RESERVE, KEY, kind=Type.EXCLUSIVE_ACCESS)
                assert array.logical_units[0].reservations.registrations
                if is_lost:
                    array._listener.cut_sessions(equipment(array).options.initiator_name, array.config.iqn)
                else:
                    nursery.cancel_scope.cancel()
                await unit.good(TEST_UNIT_READY)
                await trio.sleep_forever()

        check = Check("reserve.hold.here", "SPC-4 1", "A rule", reserve)
        (result,) = await run_checks([check], equipment(array), given=~Need.NOTHING, report=lambda _: None)
        assert is_lost
        assert result.verdict is Verdict.FAIL
    assert not array.logical_units[0].reservations.registrations


def changing(kind: type[Any], **values: Any) -> Fault:
    """Change fields of all PDUs of a kind. A function as a value takes the old value."""

    def fault(pdu: Pdu, content: bytes) -> Iterable[tuple[Pdu, bytes]]:
        if isinstance(pdu, kind):
            changes = {name: value(getattr(pdu, name)) if callable(value) else value for name, value in values.items()}
            pdu = replace(pdu, **changes)
        return [(pdu, content)]

    return fault


def changing_data(kind: type[Any], old: bytes, new: bytes) -> Fault:
    """Replace bytes in the data of all PDUs of a kind."""
    return lambda pdu, content: [(pdu, content.replace(old, new) if isinstance(pdu, kind) else content)]


def instead(kind: type[Any], other: Pdu) -> Fault:
    """Send another PDU instead of each PDU of a kind."""
    return lambda pdu, content: [(other, b"") if isinstance(pdu, kind) else (pdu, content)]


def also(kind: type[Any], other: Pdu) -> Fault:
    """Send another PDU before each PDU of a kind."""
    return lambda pdu, content: [(other, b""), (pdu, content)] if isinstance(pdu, kind) else [(pdu, content)]


def merged(pdu: Pdu, content: bytes) -> Iterable[tuple[Pdu, bytes]]:
    """Clear the F bit of each Data-In PDU without status, so that a sequence never ends."""
    if isinstance(pdu, ScsiDataIn) and not pdu.has_status:
        pdu = replace(pdu, final=False)
    return [(pdu, content)]


def swapped() -> Fault:
    """Exchange the initiator task tags 100h and 101h of SCSI Responses."""
    return changing(ScsiResponse, initiator_task_tag=lambda tag: {0x100: 0x101, 0x101: 0x100}.get(tag, tag))


SUCCESS = {"status": 0}
GOOD_LOGIN = changing(LoginResponse, **SUCCESS)
_KEEPS_OPEN = NopIn(initiator_task_tag=0x51)

FAULTS: dict[str, Fault] = {
    "iscsi.login.stages": changing(LoginResponse, tsih=0),
    "iscsi.login.at-once": changing(LoginResponse, status=0x0207),
    "iscsi.login.stat-sn": changing(NopIn, stat_sn=lambda number: number + 1),
    "iscsi.login.unknown-target": GOOD_LOGIN,
    "iscsi.login.no-initiator": GOOD_LOGIN,
    "iscsi.login.no-target": GOOD_LOGIN,
    "iscsi.login.version": GOOD_LOGIN,
    "iscsi.login.unknown-session": GOOD_LOGIN,
    "iscsi.login.two-sessions": changing(LoginResponse, tsih=7),
    "iscsi.key.unknown": changing_data(LoginResponse, b"NotUnderstood", b"Yes"),
    "iscsi.key.portal-group": changing_data(LoginResponse, b"TargetPortalGroupTag=1", b"TargetPortalGroupTag=65536"),
    "iscsi.key.max-burst": changing_data(LoginResponse, b"MaxBurstLength=4096", b"MaxBurstLength=8192"),
    "iscsi.key.max-r2t": changing_data(LoginResponse, b"MaxOutstandingR2T=1", b"MaxOutstandingR2T=2"),
    "iscsi.key.connections": changing_data(LoginResponse, b"MaxConnections=1", b"MaxConnections=2"),
    "iscsi.key.bursts": changing_data(LoginResponse, b"FirstBurstLength=16384", b"FirstBurstLength=16388"),
    "iscsi.key.initial-r2t": changing_data(LoginResponse, b"InitialR2T=Yes", b"InitialR2T=No"),
    "iscsi.key.immediate": changing_data(LoginResponse, b"ImmediateData=No", b"ImmediateData=Yes"),
    "iscsi.key.recovery": changing_data(LoginResponse, b"ErrorRecoveryLevel=0", b"ErrorRecoveryLevel=1"),
    "iscsi.key.digest": changing_data(LoginResponse, b"HeaderDigest=CRC32C", b"HeaderDigest=CRC64"),
    "iscsi.text.discovery": changing_data(TextResponse, b"TargetName=", b"TargetName=x"),
    "iscsi.text.target": changing_data(TextResponse, b"TargetName=", b"TargetAlias="),
    "iscsi.text.unknown": changing_data(TextResponse, b"NotUnderstood", b"Reject"),
    "iscsi.data.in": changing(ScsiDataIn, data_sn=lambda number: number + 1),
    "iscsi.data.bursts": merged,
    "iscsi.data.underflow": changing(ScsiDataIn, residual_count=1),
    "iscsi.data.overflow": changing(ScsiDataIn, residual_count=1),
    "iscsi.data.r2t": changing(ReadyToTransfer, r2t_sn=lambda number: number + 1),
    "iscsi.data.immediate": changing(ScsiResponse, status=lambda status: status or 8),
    "iscsi.ping.echo": lambda pdu, content: [(pdu, content[:-1] if isinstance(pdu, NopIn) else content)],
    "iscsi.window.expected": changing(ScsiResponse, exp_cmd_sn=lambda number: number - 1),
    "iscsi.window.old": also(NopIn, ScsiResponse(initiator_task_tag=0x101)),
    "iscsi.window.beyond": also(NopIn, ScsiResponse(initiator_task_tag=0x101)),
    "iscsi.window.order": swapped(),
    "iscsi.digest.both": changing(ScsiDataIn, status=2),
    "iscsi.digest.data": instead(Reject, _KEEPS_OPEN),
    "iscsi.logout.close": changing(LogoutResponse, response=1),
    "iscsi.task.unknown": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.abort": changing(TaskManagementFunctionResponse, response=1),
    "iscsi.task.abort-set": changing(TaskManagementFunctionResponse, response=255),
    "iscsi.task.reset": changing(TaskManagementFunctionResponse, response=5),
    "iscsi.task.unused-lun": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.function": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.task.reassign": changing(TaskManagementFunctionResponse, response=0),
    "iscsi.reject.snack": instead(Reject, _KEEPS_OPEN),
    "iscsi.reject.opcode": instead(Reject, _KEEPS_OPEN),
    "iscsi.reject.alive": instead(NopIn, Reject()),
}

LENIENT = {
    # check: PDU that a lenient target sends where ours closes the connection
    "iscsi.login.first-pdu": NopIn(initiator_task_tag=0x51),
    "iscsi.login.twice": LoginResponse(),
    "iscsi.login.reinstate": NopIn(),
    "iscsi.digest.header": NopIn(initiator_task_tag=0x100),
}


def test_every_check_of_pdus_has_one_fault() -> None:
    assert sorted([*FAULTS, *LENIENT]) == sorted(check.identifier for check in WIRE)


@pytest.mark.parametrize("identifier", FAULTS)
async def test_a_check_finds_its_fault(identifier: str) -> None:
    (check,) = (check for check in WIRE if check.identifier == identifier)
    result = await checked(check, FAULTS[identifier])
    assert result.verdict is Verdict.FAIL, explained(result)
    assert "cannot be decoded" not in result.reason


@pytest.mark.parametrize("identifier", LENIENT)
async def test_a_check_finds_a_connection_that_should_be_closed(identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in WIRE if check.identifier == identifier)
    whole, output = FaultyStream.receive_some, []  # type: ignore[var-annotated]
    append_pdu(output, LENIENT[identifier].encode_header())

    async def receive(self: FaultyStream, max_bytes: int | None = None) -> bytes:
        return await whole(self, max_bytes) or b"".join(output)

    monkeypatch.setattr(FaultyStream, "receive_some", receive)
    result = await checked(check, lambda pdu, content: [] if isinstance(pdu, Reject) else [(pdu, content)])
    assert result.verdict is Verdict.FAIL, explained(result)


class DamagingStream(FaultyStream):
    """A stream that changes some received bytes, and sometimes ends early."""

    def __init__(self, stream: trio.abc.Stream, numbers: random.Random) -> None:
        super().__init__(stream, lambda pdu, content: [(pdu, content)])
        self.numbers = numbers

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        received = bytearray(await self.stream.receive_some(max_bytes))
        if received and self.numbers.random() < DAMAGE:
            at = self.numbers.randrange(min(len(received), self.numbers.choice((48, len(received)))))
            received[at] = self.numbers.choice((0, 0xFF, self.numbers.randrange(256)))
        return b"" if self.numbers.random() < DAMAGE / 4 else bytes(received)


DAMAGE = 0.04
"""Part of the pieces of a stream that are damaged. With more damage, most sessions would end in the login."""


class WithAllFeatures(WireEquipment):
    async def features(self) -> Features:
        return Features({})


@pytest.mark.parametrize("seed", range(searching(2).max_examples))
async def test_damaged_bytes_end_no_run(seed: int) -> None:
    """Every check gets a verdict, whatever bytes arrive on its sessions."""
    numbers = random.Random(seed)
    checks = [replace(check, time_limit_s=0.5) for check in numbers.sample(CHECKS, 30) if ".life." not in check.identifier]

    async def connect(portal: Address) -> trio.abc.Stream:
        return DamagingStream(await connect_tcp(portal), numbers)

    async with running(CONFIG) as array:
        plain = equipment(array)
        options = replace(plain.options, command_timeout_s=0.2, login_timeout_s=0.2, logout_timeout_s=0.1)
        damaged = WithAllFeatures(plain.first, plain.second, options, plain.entropy, connect=connect)
        results = await run_checks(checks, damaged, given=~Need.NOTHING, report=lambda _: None)
    assert len(results) == len(checks)
    assert {result.verdict for result in results} >= {Verdict.PASS, Verdict.FAIL}
