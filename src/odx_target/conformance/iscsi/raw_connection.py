"""A connection that sends and receives single PDUs, so that a check can also send what no correct initiator would send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from odx_target.conformance.exchange import Records
from odx_target.conformance.faults import CheckFailed, NotSupported
from odx_target.iscsi.pdu.framing import FrameReader, FramingError, append_pdu
from odx_target.iscsi.pdu.headers import (
    HEADER_BYTES,
    Buffer,
    LoginRequest,
    LoginResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    UnknownOpcode,
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, Stage
from odx_target.iscsi.pdu.text import Pairs, TextAssembly, TextError, encode_pairs

MAX_LOGIN_ROUNDS = 8
"""Maximum number of requests in a login without authentication."""
RECEIVE_BYTES = 1 << 18
MAX_SEGMENT_BYTES = 1 << 24
"""Length that the receiver of a check accepts. A check itself compares lengths with the declared values."""
OPERATIONAL_KEYS: Mapping[str, str] = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "MaxRecvDataSegmentLength": "8192",
    "InitialR2T": "Yes",
    "ImmediateData": "No",
    "MaxBurstLength": "65536",
    "FirstBurstLength": "8192",
    "MaxConnections": "1",
    "MaxOutstandingR2T": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
}
"""Keys that the login of a check offers, unless the check changes them."""
DECLARATIONS = {"TargetAlias", "TargetAddress", "TargetPortalGroupTag", "MaxRecvDataSegmentLength", "AuthMethod"}
"""Keys of the target that need no answer."""

Answer = TypeVar("Answer")


class Stream(Protocol):
    """A byte stream. `receive_some` returns b"" at the end of the stream."""

    async def send_all(self, data: bytes) -> None: ...

    async def receive_some(self, max_bytes: int) -> bytes: ...


class StreamEnded(Exception):
    """The peer has closed the connection, or the connection broke."""


@dataclass(slots=True)
class Received:
    """A PDU of the target, with its header, its data, and True if its data digest is right or not in use."""

    pdu: Pdu
    data: bytes
    digest_is_right: bool


@dataclass(slots=True)
class RawConnection:
    """A connection of a check. `cmd_sn` and `exp_stat_sn` are the numbers that the next request carries.

    `login_keys` has the answers of the target in the login.
    """

    stream: Stream
    records: Records
    target_name: str
    initiator_name: str
    isid: bytes
    lun_field: int = 0
    cmd_sn: int = 1
    exp_stat_sn: int = 0
    max_cmd_sn: int = 1
    login_keys: dict[str, str] = field(default_factory=dict)
    header_digest: bool = False
    data_digest: bool = False
    _rest: bytes = b""
    _frames: FrameReader = field(default_factory=lambda: FrameReader(MAX_SEGMENT_BYTES))

    async def send(self, pdu: Pdu, data: bytes = b"", *, damage: slice | None = None) -> None:
        """Send a PDU with the sequence numbers that it has. All bits of the bytes in `damage` are inverted."""
        pdu.data_segment_length = len(data)
        output: list[Buffer] = []
        append_pdu(
            output,
            pdu.encode_header(),
            [data] if data else (),
            header_digest=self.header_digest,
            data_digest=self.data_digest,
        )
        whole = bytearray(b"".join(output))
        if damage is not None:
            whole[damage] = bytes(byte ^ 0xFF for byte in whole[damage])
        self.records.add(f"sent {type(pdu).__name__}", PDU=bytes(whole))
        await self.stream.send_all(bytes(whole))

    async def receive(self) -> Received:
        """Return the next PDU of the target. Raises StreamEnded, and CheckFailed for a PDU that cannot be read."""
        self._frames.header_digest, self._frames.data_digest = self.header_digest, self.data_digest
        try:
            while (frame := self._frames.cut(memoryview(self._rest), 0)) is None:
                more = await self.stream.receive_some(RECEIVE_BYTES)
                if not more:
                    raise StreamEnded("the target closed the connection")
                self._rest += more
            end, _, data, is_right = frame
            received = Received(decode_header(self._rest), bytes(data), is_right)
        except (FramingError, UnknownOpcode) as error:
            self.records.add("received bytes that are no PDU", bytes=self._rest)
            raise CheckFailed(f"the target sent a PDU that cannot be read: {error}") from error
        self.records.add(f"received {type(received.pdu).__name__}", PDU=self._rest[:end])
        self._rest = self._rest[end:]
        self._count(received.pdu)
        return received

    def _count(self, pdu: Pdu) -> None:
        """Update the numbers of the connection from a PDU of the target."""
        stat_sn: int | None = getattr(pdu, "stat_sn", None)
        is_ping = isinstance(pdu, NopIn) and pdu.initiator_task_tag == NO_TAG
        is_counted = getattr(pdu, "has_status", True) and not is_ping and not isinstance(pdu, ReadyToTransfer)
        if stat_sn is not None and is_counted:
            self.exp_stat_sn = (stat_sn + 1) & 0xFFFFFFFF
        self.max_cmd_sn = getattr(pdu, "max_cmd_sn", self.max_cmd_sn)

    async def expect(self, kind: type[Answer]) -> tuple[Answer, bytes]:
        """Return the next PDU, which must be of this kind, and its data. Pings of the target are answered.

        Raises CheckFailed, also if the target closes the connection.
        """
        while True:
            try:
                received = await self.receive()
            except StreamEnded as ended:
                raise CheckFailed(f"{ended}, expected {kind.__name__}") from ended
            pdu = received.pdu
            if isinstance(pdu, kind):
                return pdu, received.data
            if not isinstance(pdu, NopIn) or pdu.initiator_task_tag != NO_TAG:
                raise CheckFailed(f"the target sent {type(pdu).__name__}, expected {kind.__name__}")
            if pdu.target_transfer_tag != NO_TAG:
                await self.send(self.numbered(NopOut(immediate=True, lun=pdu.lun, target_transfer_tag=pdu.target_transfer_tag)))

    def numbered(self, pdu: Answer, *, advance: bool = False) -> Answer:
        """Set the sequence numbers of a request. `advance` is for a request that uses up its CmdSN."""
        fields = {"cmd_sn": self.cmd_sn, "exp_stat_sn": self.exp_stat_sn}
        for name, value in fields.items():
            if hasattr(pdu, name):
                setattr(pdu, name, value)
        if advance:
            self.cmd_sn = (self.cmd_sn + 1) & 0xFFFFFFFF
        return pdu

    async def login_request(self, pairs: Pairs, stage: Stage, following: Stage, *, version: int = 0, tsih: int = 0) -> None:
        """Send one Login Request that asks to go to the stage `following`."""
        request = LoginRequest(
            transit=True,
            current_stage=stage,
            next_stage=following,
            version_max=version,
            version_min=version,
            isid=self.isid,
            tsih=tsih,
            initiator_task_tag=1,
        )
        await self.send(self.numbered(request), encode_pairs(pairs))

    def names(self) -> Pairs:
        """Return the keys that the first Login Request of a session with the target needs."""
        return [("InitiatorName", self.initiator_name), ("SessionType", "Normal"), ("TargetName", self.target_name)]

    async def log_in(self, **changes: str) -> LoginResponse:
        """Log in without authentication, with OPERATIONAL_KEYS and the changed keys.

        Returns the last Login Response. Raises NotSupported if the target requires authentication, and CheckFailed.
        """
        response = await self._log_in(self.names(), list({**OPERATIONAL_KEYS, **changes}.items()))
        self.header_digest = self.login_keys.get("HeaderDigest", "None") == "CRC32C"
        self.data_digest = self.login_keys.get("DataDigest", "None") == "CRC32C"
        return response

    async def log_in_for_discovery(self) -> None:
        """Log in to a discovery session. Raises NotSupported and CheckFailed like `log_in`."""
        names = [("InitiatorName", self.initiator_name), ("SessionType", "Discovery")]
        await self._log_in(names, [("MaxRecvDataSegmentLength", "8192")])

    async def _log_in(self, names: Pairs, offers: Pairs) -> LoginResponse:
        security, operational = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION
        await self._negotiate([*names, ("AuthMethod", "None")], security, operational)
        return await self._negotiate(offers, operational, Stage.FULL_FEATURE_PHASE)

    async def _negotiate(self, pairs: Pairs, stage: Stage, following: Stage) -> LoginResponse:
        """Send Login Requests until the target goes to the following stage. Values that the target offers are accepted."""
        known = {name for name, _ in pairs} | DECLARATIONS
        for _ in range(MAX_LOGIN_ROUNDS):
            await self.login_request(pairs, stage, following)
            response, keys = await self.login_response()
            self.login_keys.update(keys)
            if response.status == AUTHENTICATION_FAILURE:
                raise NotSupported("the target requires authentication, and the checks of iSCSI log in without it")
            if response.status:
                raise CheckFailed(f"the login was refused with status {response.status:04X}h")
            if response.transit and response.next_stage == following:
                return response
            pairs = [(name, _accepted(value)) for name, value in keys.items() if name not in known]
            known |= keys.keys()
        raise CheckFailed(f"the login did not reach stage {int(following)} in {MAX_LOGIN_ROUNDS} requests")

    async def login_response(self) -> tuple[LoginResponse, dict[str, str]]:
        """Return the next Login Response and its keys."""
        response, data = await self.expect(LoginResponse)
        text = TextAssembly()
        try:
            text.add(data)
            return response, dict(text.take())
        except TextError as error:
            raise CheckFailed(f"the text of a Login Response is malformed: {error}") from error

    async def is_closed(self) -> bool:
        """True if the target closes the connection before it sends another PDU."""
        try:
            await self.receive()
        except StreamEnded:
            return True
        return False


def _accepted(offer: str) -> str:
    """Return the answer to a value or a list of values that the target offers: None if the list has it, or the first value."""
    values = offer.split(",")
    return "None" if "None" in values else values[0]


AUTHENTICATION_FAILURE = 0x0201
PDU_HEADER_BYTES = HEADER_BYTES
