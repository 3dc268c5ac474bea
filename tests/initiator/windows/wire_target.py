"""A target on memory streams: scripted disks, and whole PDUs that a test may change before they are sent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing

from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.header import decode_lun
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LogoutRequest,
    LogoutResponse,
    NopOut,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import AsyncEvent
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import TARGET, Portal, keys_of
from tests.initiator.windows.scripted import MIB, Array, Clock, CutOff, NoAnswer, ScriptedDisk, limits

SECURITY = {"TargetPortalGroupTag": "1", "AuthMethod": "None"}
OPERATIONAL = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "DefaultTime2Wait": "0",
    "DefaultTime2Retain": "0",
    "ErrorRecoveryLevel": "0",
    "InitialR2T": "Yes",
    "ImmediateData": "Yes",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
    "MaxConnections": "1",
    "MaxOutstandingR2T": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "MaxRecvDataSegmentLength": "8192",
}
DISCOVERY = {name: OPERATIONAL[name] for name in list(OPERATIONAL)[:4]} | {"MaxRecvDataSegmentLength": "8192"}
DATA_SEGMENT_BYTES = 65_536
TARGETS = [("TargetName", TARGET), ("TargetAddress", "192.0.2.1:3260,1")]
PLACE = IscsiUrl(Address("192.0.2.1"), TARGET, 0)
SILENT = b""

Change = Callable[[bytes], bytes]


@dataclass
class WireTarget:
    """A target for tests. `logins` is the number of logins.

    Each entry of `changes` is used once: its function changes the next PDU of its class before it is sent.
    """

    changes: list[tuple[type, Change]] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(
        default_factory=lambda: [("TargetName", TARGET), ("TargetAddress", "192.0.2.1:3260,1")]
    )
    operational: dict[str, str] = field(default_factory=lambda: dict(OPERATIONAL))
    digests: bool = False
    asks_for_logout: bool = False
    logins: int = 0
    requests: list[Any] = field(default_factory=list)
    streams: list[trio.abc.Stream] = field(default_factory=list)

    def __post_init__(self) -> None:
        array, clock = Array(), Clock()
        self.disks = [ScriptedDisk(array, clock, lun, blocks=64 * MIB // 512) for lun in range(2)]
        for disk in self.disks:
            disk.pages[0x8F] = limits(8192, 16384)
        if self.digests:
            self.operational |= {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}

    def connecting(self, nursery: trio.Nursery) -> Callable[[Address], Any]:
        async def connect(_: Address) -> trio.abc.Stream:
            near, far = trio.testing.memory_stream_pair()
            self.streams.append(near)
            nursery.start_soon(_Conversation(self, far).serve)
            return near

        return connect

    def tokens(self) -> list[tuple[int, bytes]]:
        """LUN and CDB of the token commands that arrived."""
        return [
            (decode_lun(pdu.lun), pdu.cdb)
            for pdu in self.requests
            if isinstance(pdu, ScsiCommand) and pdu.cdb[0] in (0x83, 0x84)
        ]


@dataclass
class _Conversation:
    target: WireTarget
    stream: trio.abc.Stream
    portal: Portal = field(default_factory=Portal)
    discovery: bool = False
    writing: dict[int, tuple[ScsiCommand, bytearray]] = field(default_factory=dict)

    async def serve(self) -> None:
        async with self.stream:
            try:
                while received := await self.stream.receive_some():
                    for pdu, data in self.portal.take([received]):
                        self.target.requests.append(pdu)
                        if answer := self.answer(pdu, data):
                            await self.stream.send_all(answer)
            except (trio.BrokenResourceError, trio.ClosedResourceError, CutOff):
                return

    def answer(self, pdu: Any, data: bytes) -> bytes:
        match pdu:
            case LoginRequest():
                return self.log_in(pdu, data)
            case ScsiCommand():
                self.portal.exp_cmd_sn += not pdu.immediate
                return self.take(pdu, data)
            case ScsiDataOut():
                command, buffer = self.writing[pdu.initiator_task_tag]
                assert pdu.buffer_offset == len(buffer)
                return self.write(command, buffer, data) if pdu.final else self.keep(buffer, data)
            case TextRequest():
                return self.send(TextResponse(initiator_task_tag=pdu.initiator_task_tag), encode_pairs(self.target.answers))
            case LogoutRequest():
                return self.send(LogoutResponse(initiator_task_tag=pdu.initiator_task_tag))
            case TaskManagementFunctionRequest():
                return self.send(TaskManagementFunctionResponse(initiator_task_tag=pdu.initiator_task_tag))
        raise AssertionError(f"unexpected {type(pdu)}, a ping perhaps: {isinstance(pdu, NopOut)}")

    def log_in(self, pdu: LoginRequest, data: bytes) -> bytes:
        if not pdu.current_stage:
            self.discovery = keys_of(data)["SessionType"] == "Discovery"
            keys = {"AuthMethod": "None"} if self.discovery else SECURITY
        else:
            keys = DISCOVERY if self.discovery else self.target.operational
            if self.target.digests:
                keys = keys | {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
            self.target.logins += not self.discovery
        answer = self.changed(pdu, self.portal.login_response(pdu, keys))
        if pdu.current_stage:
            self.portal.header_digest = self.portal.data_digest = keys["HeaderDigest"] == "CRC32C"
        return answer

    def take(self, pdu: ScsiCommand, data: bytes) -> bytes:
        if not pdu.write or len(data) == pdu.expected_data_transfer_length:
            return self.execute(pdu, data)
        self.writing[pdu.initiator_task_tag] = pdu, bytearray()
        return self.write(pdu, self.writing[pdu.initiator_task_tag][1], data)

    def keep(self, buffer: bytearray, data: bytes) -> bytes:
        buffer += data
        return SILENT

    def write(self, pdu: ScsiCommand, buffer: bytearray, data: bytes) -> bytes:
        """Send an R2T for the next part of the data; execute the command if all data has arrived."""
        buffer += data
        left = pdu.expected_data_transfer_length - len(buffer)
        if not left:
            return self.execute(pdu, bytes(buffer))
        r2t = ReadyToTransfer(
            lun=pdu.lun,
            initiator_task_tag=pdu.initiator_task_tag,
            target_transfer_tag=1,
            r2t_sn=0,
            buffer_offset=len(buffer),
            desired_data_transfer_length=left,
        )
        return self.send(r2t, numbered=False)

    def execute(self, pdu: ScsiCommand, data: bytes) -> bytes:
        lengths = {0x12: 6, 0x1A: 6, 0x28: 10, 0x2A: 10, 0x35: 10, 0x25: 10, 0xA0: 12, 0x00: 6}
        disk = self.target.disks[decode_lun(pdu.lun)]
        cdb = pdu.cdb[: lengths.get(pdu.cdb[0], 16)]
        disk.sent.append(("", pdu.attribute, cdb, data))
        try:
            result = disk.execute(cdb, data)
        except NoAnswer:
            return SILENT
        tag, expected = pdu.initiator_task_tag, pdu.expected_data_transfer_length
        if result.status:
            sense = len(result.sense).to_bytes(2, "big") + result.sense
            return self.send(ScsiResponse(initiator_task_tag=tag, status=result.status), sense if result.sense else b"")
        if not pdu.read:
            return self.send(ScsiResponse(initiator_task_tag=tag))
        return self.data_in(tag, expected, bytes(result.data_in)[:expected])

    def data_in(self, tag: int, expected: int, data: bytes) -> bytes:
        pieces = range(0, max(len(data), 1), DATA_SEGMENT_BYTES)
        output = b""
        for number, at in enumerate(pieces):
            last = at == pieces[-1]
            header = ScsiDataIn(initiator_task_tag=tag, final=last, has_status=last, data_sn=number, buffer_offset=at)
            if last and len(data) < expected:
                header.underflow, header.residual_count = True, expected - len(data)
            output += self.send(header, data[at : at + DATA_SEGMENT_BYTES], numbered=last)
        return output

    def send(self, pdu: Any, data: bytes = b"", *, numbered: bool = True) -> bytes:
        if not numbered and isinstance(pdu, ScsiDataIn):
            pdu.stat_sn = 0
        return self.changed(pdu, self.portal.encode(pdu, data, numbered=numbered))

    def changed(self, pdu: Any, encoded: bytes) -> bytes:
        changes = self.target.changes
        if changes and isinstance(pdu, changes[0][0]):
            encoded = changes.pop(0)[1](encoded)
            self.portal.stat_sn -= encoded == SILENT
        if self.target.asks_for_logout and isinstance(pdu, ScsiResponse):
            self.target.asks_for_logout = False
            encoded += self.portal.encode(AsynchronousMessage(async_event=AsyncEvent.LOGOUT_REQUESTED, parameter3=10))
        return encoded
