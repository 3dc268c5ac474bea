"""An initiator for tests of a TargetConnection: it numbers requests and decodes answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from odx_target.iscsi.pdu import framing
from odx_target.iscsi.pdu.headers import (
    Buffer,
    LoginRequest,
    LoginResponse,
    Pdu,
    ScsiCommand,
    ScsiDataOut,
    decode_header,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.iscsi.pdu.text import decode_pairs, encode_pairs
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.directory_interface import Authenticator, Portal, Redirection
from odx_target.iscsi.session.events import CommandAccepted, CommandEnded, CommandReady, Event, TaskManagement
from odx_target.iscsi.session.session_memory import SessionMemory, UnlimitedMemory
from odx_target.iscsi.session.session_registry import Session, SessionRegistry

TARGET = "iqn.2026-11.io.odx-target:array"
INITIATOR = "iqn.2026-11.io.odx-target:test"
ISID = bytes.fromhex("400001370000")

P = TypeVar("P", bound=Pdu)
E = TypeVar("E", bound=Event)

NORMAL_KEYS = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "262144",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
    "MaxOutstandingR2T": "1",
}


class Directory:
    """A directory with one target at one portal, if the arguments do not change it."""

    def __init__(self, names: Sequence[str] = (TARGET,), max_sessions: int = 64) -> None:
        self.names = names
        self.portal_list = [Portal("127.0.0.1:3260")]
        self.portal = "127.0.0.1:3260"
        self.sessions = SessionRegistry(max_sessions)
        self.offline_tags: set[int] = set()
        self.moved_to: Redirection | None = None
        self.make_authenticator: Callable[[], Authenticator] | None = None

    def target_names(self, initiator_name: str) -> Sequence[str]:
        return self.names

    def portals(self, target_name: str) -> Sequence[Portal]:
        return self.portal_list

    def is_offline(self, target_name: str, portal_group_tag: int) -> bool:
        return portal_group_tag in self.offline_tags

    def redirection(self, initiator_name: str, target_name: str) -> Redirection | None:
        return self.moved_to

    def authenticator(self, initiator_name: str, target_name: str) -> Authenticator | None:
        return self.make_authenticator() if self.make_authenticator else None


@dataclass
class Received:
    """A PDU of the target with its data."""

    pdu: Pdu
    data: bytes
    header: bytes


@dataclass
class Conversation:
    """A conversation with `connection`; `now` is its clock. All received PDUs are kept, and their StatSN is checked for
    gaps.
    """

    directory: Directory = field(default_factory=Directory)
    now: float = 100.0
    isid: bytes = ISID
    connection_id: int = 1
    tsih: int = 0
    cmd_sn: int = 7
    exp_stat_sn: int = 1
    next_tag: int = 1
    header_digest: bool = False
    data_digest: bool = False
    open_memory: Callable[[Session], SessionMemory] = lambda _: UnlimitedMemory()

    def __post_init__(self) -> None:
        self.connection = TargetConnection(self.directory, self.now, open_memory=self.open_memory)
        self.events: list[Event] = []
        self.places: list[CommandAccepted | CommandEnded] = []
        self.unread: list[Received] = []
        self._stream = b""
        self._reader = framing.FrameReader((1 << 24) - 1)

    # bytes

    def encode(self, pdu: Pdu, data: bytes = b"", additional: bytes = b"") -> bytes:
        pdu.data_segment_length, pdu.total_ahs_length = len(data), len(additional) // 4
        output: list[Buffer] = []
        framing.append_pdu(
            output,
            pdu.encode_header(),
            [data] if data else [],
            additional_header=additional,
            header_digest=self.header_digest,
            data_digest=self.data_digest,
        )
        return b"".join(output)

    def feed(self, raw: bytes) -> int:
        """Give bytes to the connection and take its output. Returns the number of bytes that it used."""
        used = self.connection.receive(memoryview(raw), self.now)
        self.collect()
        return used

    def collect(self) -> None:
        for event in self.connection.take_events():
            (self.places if isinstance(event, CommandAccepted | CommandEnded) else self.events).append(event)
        self._stream += b"".join(self.connection.take_output())
        self._reader.header_digest, self._reader.data_digest = self.header_digest, self.data_digest
        view, at = memoryview(self._stream), 0
        while (frame := self._reader.cut(view, at)) is not None:
            end, _, data, good = frame
            assert good
            header = bytes(view[at : at + 48])
            self.unread.append(Received(decode_header(header), bytes(data), header))
            at = end
        self._stream = self._stream[at:]

    def send(self, pdu: Pdu, data: bytes = b"", additional: bytes = b"") -> None:
        assert self.feed(self.encode(pdu, data, additional)) or self.connection.closed

    def take(self, kind: type[P]) -> P:
        """Return the next PDU received, which must be of this class."""
        return self.take_with_data(kind)[0]

    def take_with_data(self, kind: type[P]) -> tuple[P, bytes]:
        received = self.unread.pop(0)
        assert isinstance(received.pdu, kind), received.pdu
        self._count_status(received.pdu)
        return received.pdu, received.data

    def _count_status(self, pdu: Pdu) -> None:
        stat_sn = getattr(pdu, "stat_sn", None)
        name = type(pdu).__name__
        carries = name not in ("ReadyToTransfer", "NopIn", "ScsiDataIn") or getattr(pdu, "has_status", False)
        if name == "NopIn":
            carries = pdu.initiator_task_tag != 0xFFFFFFFF  # type: ignore[union-attr]
        if carries:
            assert stat_sn == self.exp_stat_sn, (pdu, self.exp_stat_sn)
            self.exp_stat_sn = (self.exp_stat_sn + 1) & 0xFFFFFFFF
        elif name != "ScsiDataIn":
            assert stat_sn == self.exp_stat_sn, pdu

    def take_event(self, kind: type[E]) -> E:
        event = self.events.pop(0)
        assert isinstance(event, kind), event
        return event

    def tag(self) -> int:
        self.next_tag += 1
        return self.next_tag

    def next_cmd_sn(self) -> int:
        self.cmd_sn = (self.cmd_sn + 1) & 0xFFFFFFFF
        return (self.cmd_sn - 1) & 0xFFFFFFFF

    # login

    def login_request(
        self, keys: Mapping[str, str] | Sequence[tuple[str, str]], csg: int, nsg: int | None, *, continued: bool = False
    ) -> tuple[LoginResponse, list[tuple[str, str]]]:
        pairs = list(keys.items()) if isinstance(keys, Mapping) else list(keys)
        self.send(self.login_pdu(csg, nsg, continued=continued), encode_pairs(pairs))
        response, data = self.take_with_data(LoginResponse)
        return response, decode_pairs(data)

    def login_pdu(self, csg: int, nsg: int | None, *, continued: bool = False) -> LoginRequest:
        return LoginRequest(
            transit=nsg is not None,
            continued=continued,
            current_stage=csg,
            next_stage=nsg or 0,
            isid=self.isid,
            tsih=self.tsih,
            initiator_task_tag=1,
            connection_id=self.connection_id,
            cmd_sn=self.cmd_sn,
            exp_stat_sn=self.exp_stat_sn,
        )

    def names(self, session_type: str = "Normal", target: str = TARGET) -> dict[str, str]:
        keys = {"InitiatorName": INITIATOR, "SessionType": session_type}
        return keys if session_type == "Discovery" else {**keys, "TargetName": target}

    def log_in(self, session_type: str = "Normal", keys: Mapping[str, str] = NORMAL_KEYS) -> dict[str, str]:
        """Log in with one request, and return the answers."""
        offers = {**self.names(session_type), **(keys if session_type == "Normal" else {})}
        stages = Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
        response, answers = self.login_request(offers, *stages)
        assert response.status == 0, self.connection.close_reason
        assert response.transit
        self.tsih = response.tsih
        found = dict(answers)
        self.header_digest = found.get("HeaderDigest") == "CRC32C"
        self.data_digest = found.get("DataDigest") == "CRC32C"
        return found

    def logged_in(self, **keys: str) -> "Conversation":
        """Log in, drop the received PDUs, and return the conversation."""
        self.log_in(keys={**NORMAL_KEYS, **keys})
        self.events.clear()
        return self

    # commands

    def command(self, cdb: bytes = bytes(16), *, lun: int = 0, data: bytes = b"", **fields: object) -> ScsiCommand:
        """Send a command. Fields that are not given get default values; CmdSN and task tag are the next numbers."""
        pdu = ScsiCommand(lun=encode_lun(lun), initiator_task_tag=self.tag(), cdb=cdb.ljust(16, b"\0"), attribute=1)
        for name, value in fields.items():
            setattr(pdu, name, value)
        if "cmd_sn" not in fields:
            pdu.cmd_sn = self.cmd_sn if pdu.immediate else self.next_cmd_sn()
        self.send(pdu, data)
        return pdu

    def read(self, size: int, **fields: object) -> ScsiCommand:
        return self.command(b"\x28", read=True, expected_data_transfer_length=size, **fields)  # type: ignore[arg-type]

    def write(self, size: int, data: bytes = b"", **fields: object) -> ScsiCommand:
        return self.command(b"\x2a", write=True, expected_data_transfer_length=size, data=data, **fields)  # type: ignore[arg-type]

    def data_out(self, command: ScsiCommand, offset: int, data: bytes, **fields: object) -> None:
        pdu = ScsiDataOut(initiator_task_tag=command.initiator_task_tag, buffer_offset=offset)
        for name, value in fields.items():
            setattr(pdu, name, value)
        self.send(pdu, data)

    def reply(
        self, event: CommandReady, status: int = 0, data: Sequence[Buffer] = (), size: int | None = None, sense: bytes = b""
    ) -> None:
        self.connection.send_reply(event, status, data, sum(map(len, data)) if size is None else size, sense)
        self.collect()

    def answer(self, event: TaskManagement, response: int = 0) -> None:
        self.connection.send_task_management_response(event, response)
        self.collect()


def joined(event: CommandReady) -> bytes:
    return b"".join(event.data_out)
