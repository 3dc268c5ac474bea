"""An initiator without rules: it sends the given PDUs, and returns the PDUs that it receives."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from odx_target.iscsi.pdu import framing
from odx_target.iscsi.pdu.headers import (
    Buffer,
    LoginRequest,
    LoginResponse,
    Pdu,
    ScsiCommand,
    ScsiDataOut,
    ScsiResponse,
    TaskManagementFunctionRequest,
    decode_header,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.iscsi.pdu.text import encode_pairs
from odx_target.target.array import Array

P = TypeVar("P", bound=Pdu)

INITIATOR = "iqn.2026-11.io.odx-target:raw"
KEYS = {
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "262144",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
}


class RawPeer:
    """One connection of an initiator. `number` distinguishes initiator ports."""

    def __init__(self, stream: trio.SocketStream, iqn: str, number: int) -> None:
        self.stream = stream
        self.isid = bytes([0x80, 0, 0, 0, 0, number])
        self.cmd_sn = 1
        self._iqn = iqn
        self._tag = 0
        self._unread = b""
        self.reader = framing.FrameReader((1 << 24) - 1)

    def encode(self, pdu: Pdu, data: bytes = b"") -> bytes:
        pdu.data_segment_length = len(data)
        output: list[Buffer] = []
        digests = {"header_digest": self.reader.header_digest, "data_digest": self.reader.data_digest}
        framing.append_pdu(output, pdu.encode_header(), [data] if data else [], **digests)
        return b"".join(output)

    async def send(self, pdu: Pdu, data: bytes = b"") -> None:
        await self.stream.send_all(self.encode(pdu, data))

    async def next(self) -> tuple[Pdu, bytes] | None:
        """Return the next PDU with its data; None at the end of the connection."""
        while (frame := self.reader.cut(memoryview(self._unread))) is None:
            more = await self.stream.receive_some(1 << 20)
            if not more:
                return None
            self._unread += more
        end, _, data, _ = frame
        pdu = decode_header(self._unread[:48]), bytes(data)
        self._unread = self._unread[end:]
        return pdu

    async def take(self, kind: type[P]) -> P:
        received = await self.next()
        assert received is not None, "the target closed the connection"
        assert isinstance(received[0], kind), received
        return received[0]

    def login_request(self, keys: Mapping[str, str] = KEYS, *, first_cmd_sn: int | None = None) -> bytes:
        pairs = [("InitiatorName", INITIATOR), ("TargetName", self._iqn), *keys.items()]
        request = LoginRequest(
            transit=True,
            current_stage=Stage.LOGIN_OPERATIONAL_NEGOTIATION,
            next_stage=Stage.FULL_FEATURE_PHASE,
            isid=self.isid,
            initiator_task_tag=1,
            cmd_sn=self.cmd_sn if first_cmd_sn is None else first_cmd_sn,
            exp_stat_sn=1,
        )
        return self.encode(request, encode_pairs(pairs))

    async def log_in(self, keys: Mapping[str, str] = KEYS) -> "RawPeer":
        await self.stream.send_all(self.login_request(keys))
        response = await self.take(LoginResponse)
        assert response.status == 0
        assert response.transit
        self.reader.header_digest = keys.get("HeaderDigest") == "CRC32C"
        self.reader.data_digest = keys.get("DataDigest") == "CRC32C"
        return self

    def tag(self) -> int:
        self._tag += 1
        return self._tag

    def next_cmd_sn(self) -> int:
        self.cmd_sn += 1
        return self.cmd_sn - 1

    def command(self, cdb: bytes, *, lun: int = 0, **fields: object) -> ScsiCommand:
        pdu = ScsiCommand(lun=encode_lun(lun), initiator_task_tag=self.tag(), cdb=cdb.ljust(16, b"\0"), attribute=1)
        for name, value in fields.items():
            setattr(pdu, name, value)
        if "cmd_sn" not in fields:
            pdu.cmd_sn = self.cmd_sn if pdu.immediate else self.next_cmd_sn()
        return pdu

    def write(self, cdb: bytes, size: int, **fields: object) -> ScsiCommand:
        return self.command(cdb, write=True, expected_data_transfer_length=size, **fields)  # type: ignore[arg-type]

    def read(self, cdb: bytes, size: int, **fields: object) -> ScsiCommand:
        return self.command(cdb, read=True, expected_data_transfer_length=size, **fields)  # type: ignore[arg-type]

    def data_out(self, command: ScsiCommand, transfer_tag: int, offset: int = 0, *, final: bool = True) -> ScsiDataOut:
        return ScsiDataOut(
            final=final,
            initiator_task_tag=command.initiator_task_tag,
            target_transfer_tag=transfer_tag,
            buffer_offset=offset,
        )

    def manage(self, function: int, lun: int = 0, referenced_task_tag: int = 0xFFFFFFFF) -> TaskManagementFunctionRequest:
        return TaskManagementFunctionRequest(
            immediate=True,
            function=function,
            lun=encode_lun(lun),
            initiator_task_tag=self.tag(),
            referenced_task_tag=referenced_task_tag,
            cmd_sn=self.cmd_sn,
        )

    async def status_of(self, command: ScsiCommand, data: bytes = b"") -> tuple[int, bytes]:
        """Send a command, and return its status and sense data."""
        await self.send(command, data)
        return await self.answer_to(command)

    async def answer_to(self, command: ScsiCommand) -> tuple[int, bytes]:
        received = await self.next()
        assert received is not None, "the target closed the connection"
        response, sense = received
        assert isinstance(response, ScsiResponse), response
        assert response.initiator_task_tag == command.initiator_task_tag
        return response.status, sense[2:]

    async def settle(self, lun: int = 0) -> "RawPeer":
        """Run a command that reports the unit attention of a new session."""
        status, _ = await self.status_of(self.command(bytes(6), lun=lun))
        assert status == 2
        return self


@asynccontextmanager
async def connected(array: Array, number: int = 1) -> AsyncIterator[RawPeer]:
    portal = array.portals[0]
    stream = await trio.open_tcp_stream(portal.host, portal.port)
    async with stream:
        yield RawPeer(stream, array.config.iqn, number)


@asynccontextmanager
async def logged_in(array: Array, number: int = 1, keys: Mapping[str, str] = KEYS) -> AsyncIterator[RawPeer]:
    async with connected(array, number) as peer:
        await peer.log_in({**KEYS, **keys})
        yield await peer.settle()
