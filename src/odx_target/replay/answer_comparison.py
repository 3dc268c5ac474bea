"""Compares a recorded answer with the answer of another target, by the table of fields."""

from dataclasses import dataclass, fields

from odx_target.initiator.copying.token_commands import read_rod_token_information
from odx_target.initiator.errors import InitiatorError
from odx_target.iscsi.pdu.headers import LoginResponse, Pdu, ScsiResponse
from odx_target.replay.field_table import TEXT_KEYS, Treatment, ignores_data, treatment_of
from odx_target.replay.pdu_difference import PduDifference, first_byte_difference
from odx_target.target.recording.seen_command import read_sense

RECEIVE_ROD_TOKEN_INFORMATION = (0x84, 0x07)
SHOWN_BYTES = 16
BURST_KEYS = ("InitialR2T", "ImmediateData", "FirstBurstLength", "MaxBurstLength", "MaxRecvDataSegmentLength")
"""Keys that decide which data a host may send with a command."""


@dataclass(slots=True)
class Answer:
    """The last PDU of an answer, its data segment, and all read data before it."""

    pdu: Pdu
    data: bytes = b""
    data_in: bytes = b""

    @property
    def status(self) -> int | None:
        """The SCSI status, if the answer has one."""
        return getattr(self.pdu, "status", None)


def compare_answers(cdb: bytes | None, recorded: Answer, present: Answer, tokens: dict[bytes, bytes]) -> PduDifference | None:
    """Return the first difference of two answers, or None.

    `cdb` is that of the command; None for other requests. Tokens of the target are added to `tokens`, by the recorded tokens.
    """
    if cdb is None:
        return _header_difference(recorded, present) or _text_difference(recorded, present)
    if recorded.status != present.status:
        return PduDifference("status", _status_text(recorded), _status_text(present))
    if ignores_data(cdb) and not recorded.status:
        return None
    if (difference := _residual_difference(recorded, present)) is not None:
        return difference
    if isinstance(recorded.pdu, ScsiResponse) and isinstance(present.pdu, ScsiResponse) and recorded.status:
        before, after = _sense(recorded), _sense(present)
        return None if before == after else PduDifference("sense", before, after)
    return _data_difference(cdb, recorded.data_in, present.data_in, tokens)


def have_other_bursts(recorded: Answer, present: Answer) -> bool:
    """True if two Login Responses have different values of the keys for bursts or for the length of data segments."""
    before, after = _pairs(recorded.data), _pairs(present.data)
    return any(before.get(key) != after.get(key) for key in BURST_KEYS)


def _header_difference(recorded: Answer, present: Answer) -> PduDifference | None:
    if type(recorded.pdu) is not type(present.pdu):
        return PduDifference("kind of PDU", type(recorded.pdu).__name__, type(present.pdu).__name__)
    for field in fields(recorded.pdu):
        before, after = getattr(recorded.pdu, field.name), getattr(present.pdu, field.name)
        if before != after and treatment_of(type(recorded.pdu), field.name) is Treatment.STRICT:
            return PduDifference(field.name, str(before), str(after))
    return None


def _text_difference(recorded: Answer, present: Answer) -> PduDifference | None:
    if not isinstance(recorded.pdu, LoginResponse):
        return None
    before, after = _pairs(recorded.data), _pairs(present.data)
    for key in sorted(before.keys() | after.keys()):
        if key not in TEXT_KEYS and before.get(key) != after.get(key):
            return PduDifference(f"key {key}", str(before.get(key)), str(after.get(key)))
    return None


def _residual_difference(recorded: Answer, present: Answer) -> PduDifference | None:
    for name in ("overflow", "underflow", "residual_count", "response"):
        before, after = getattr(recorded.pdu, name, 0), getattr(present.pdu, name, 0)
        if before != after:
            return PduDifference(name, str(before), str(after))
    return None


def _data_difference(cdb: bytes, before: bytes, after: bytes, tokens: dict[bytes, bytes]) -> PduDifference | None:
    if (cdb[0], cdb[1] & 0x1F) == RECEIVE_ROD_TOKEN_INFORMATION:
        found, present = _tokens_in(before), _tokens_in(after)
        if len(found) != len(present):
            return PduDifference("number of tokens", str(len(found)), str(len(present)))
        for recorded_token, present_token in zip(found, present, strict=True):
            tokens[recorded_token] = present_token
            after = after.replace(present_token, recorded_token)
    position = first_byte_difference(before, after)
    if position is None:
        return None
    shown = (each[position : position + SHOWN_BYTES].hex() or "no byte" for each in (before, after))
    return PduDifference(f"data, byte {position}", *shown)


def _tokens_in(data: bytes) -> tuple[bytes, ...]:
    try:
        return tuple(read_rod_token_information(data).tokens)
    except InitiatorError:
        return ()


def _sense(answer: Answer) -> str:
    sense = read_sense(answer.data[2 : 2 + int.from_bytes(answer.data[:2], "big")]) if len(answer.data) > 2 else None
    return str(sense)


def _status_text(answer: Answer) -> str:
    status = answer.status
    text = "none" if status is None else f"{status:02x}h"
    return f"{text} ({_sense(answer)})" if status and isinstance(answer.pdu, ScsiResponse) else text


def _pairs(text: bytes) -> dict[str, str]:
    parts = (part.decode("utf-8", "backslashreplace").partition("=") for part in text.split(b"\0"))
    return {key: value for key, _, value in parts if key}
