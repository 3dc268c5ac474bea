"""The target's end of a connection for tests. It cuts received bytes into PDUs and numbers the PDUs that it sends."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from odx_target.initiator.session.connection import InitiatorConnection
from odx_target.initiator.session.login import Login
from odx_target.initiator.session.options import SessionOptions
from odx_target.iscsi.pdu.framing import FrameReader, append_pdu
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse, Pdu, decode_header
from odx_target.iscsi.pdu.text import decode_pairs, encode_pairs

ISID = b"\x80\x01\x02\x03\x04\x05"
OPTIONS = SessionOptions(ISID)
TARGET = "iqn.2026-11.test:target"
DEFAULT_KEYS = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "MaxRecvDataSegmentLength": "8192",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxBurstLength": "65536",
    "FirstBurstLength": "16384",
    "MaxConnections": "1",
    "MaxOutstandingR2T": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
}
DISCOVERY_KEYS = {name: DEFAULT_KEYS[name] for name in ("HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength")}

P = TypeVar("P")


@dataclass
class Portal:
    """`take` takes bytes and returns whole PDUs, `encode` makes bytes. `window` is the number of commands that MaxCmdSN
    allows.
    """

    header_digest: bool = False
    data_digest: bool = False
    stat_sn: int = 100
    exp_cmd_sn: int = 1
    window: int = 32
    rest: bytearray = field(default_factory=bytearray)

    def take(self, chunks: Iterable[Any]) -> list[tuple[Pdu, bytes]]:
        """Return the PDUs that the initiator sent, with their data."""
        for chunk in chunks:
            self.rest += chunk
        frames = FrameReader(1 << 24)
        frames.header_digest, frames.data_digest = self.header_digest, self.data_digest
        found, position, stream = [], 0, bytes(self.rest)
        while (frame := frames.cut(memoryview(stream), position)) is not None:
            assert frame[3]
            found.append((decode_header(stream[position : position + 48]), bytes(frame[2])))
            position = frame[0]
        del self.rest[:position]
        return found

    def encode(self, pdu: Any, data: bytes = b"", *, numbered: bool = True) -> bytes:
        """Return the bytes of a response, with the next sequence numbers."""
        if hasattr(pdu, "stat_sn"):
            pdu.stat_sn = self.stat_sn
            self.stat_sn += numbered
        if hasattr(pdu, "exp_cmd_sn"):
            pdu.exp_cmd_sn, pdu.max_cmd_sn = self.exp_cmd_sn, (self.exp_cmd_sn + self.window - 1) % (1 << 32)
        pdu.data_segment_length = len(data)
        output: list[Any] = []
        append_pdu(
            output, pdu.encode_header(), [data] if data else (), header_digest=self.header_digest, data_digest=self.data_digest
        )
        return b"".join(output)

    def login_response(self, request: LoginRequest, keys: dict[str, str], **changes: Any) -> bytes:
        """Return a Login Response that agrees to the transition that the request asks for."""
        values: dict[str, Any] = {
            "transit": request.transit,
            "current_stage": request.current_stage,
            "next_stage": request.next_stage,
            "isid": request.isid,
            "tsih": 7 if request.next_stage == 3 else 0,
            "initiator_task_tag": request.initiator_task_tag,
        }
        return self.encode(LoginResponse(**values | changes), encode_pairs(keys.items()))


@dataclass
class Pair:
    """A connection and its portal, without streams between them."""

    connection: InitiatorConnection
    portal: Portal

    def requests(self) -> list[tuple[Pdu, bytes]]:
        return self.portal.take(self.connection.take_output())

    def request(self, kind: type[P]) -> tuple[P, bytes]:
        """Return the single PDU that was sent, and its data."""
        ((pdu, data),) = self.requests()
        assert isinstance(pdu, kind)
        return pdu, data

    def feed(self, data: bytes) -> None:
        assert self.connection.receive(memoryview(data)) == len(data)

    def answer(self, pdu: Any, data: bytes = b"", *, numbered: bool = True) -> None:
        self.feed(self.portal.encode(pdu, data, numbered=numbered))

    def events(self) -> list[Any]:
        found = list(self.connection.events)
        self.connection.events.clear()
        return found


def unconnected(options: SessionOptions = OPTIONS, target: str | None = TARGET) -> Pair:
    return Pair(InitiatorConnection(Login(options, target)), Portal())


def logged_in(keys: dict[str, str] | None = None, options: SessionOptions = OPTIONS, window: int = 32) -> Pair:
    """Return a pair after a login that agreed on DEFAULT_KEYS, changed by `keys`."""
    pair = unconnected(options)
    pair.portal.window = window
    pair.connection.log_in()
    answers = DEFAULT_KEYS | (keys or {})
    security, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(security, {"AuthMethod": "None", "TargetPortalGroupTag": "1"}))
    operational, _ = pair.request(LoginRequest)
    pair.feed(pair.portal.login_response(operational, answers))
    (finished,) = pair.events()
    assert finished.outcome is None
    pair.portal.header_digest = answers["HeaderDigest"] != "None"
    pair.portal.data_digest = answers["DataDigest"] != "None"
    return pair


def keys_of(data: bytes) -> dict[str, str]:
    return dict(decode_pairs(data))
