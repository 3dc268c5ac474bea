"""Functions that describe a PDU as one line: its name, its important fields, its command and data, and its sequence numbers.

Fields without a value (no tag, or a number that is zero) are omitted. For data, and for CHAP challenges and responses, only the
length is shown.
"""

from dataclasses import fields
from enum import IntEnum

from odx_target.iscsi.pdu.field_values import FIELD_VALUES
from odx_target.iscsi.pdu.header import decode_lun
from odx_target.iscsi.pdu.headers import (
    HEADER_BYTES,
    AsynchronousMessage,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    SnackRequest,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    TextResponse,
    decode_header,
)
from odx_target.iscsi.pdu.opcodes import (
    NO_TAG,
    AsyncEvent,
    LoginStatus,
    ResponseCode,
)
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.target.trace.conversation import TEXTS, Command, Seen
from odx_target.target.trace.frames import Piece
from odx_target.target.trace.one_line import describe_bytes, describe_key_value, describe_sense_briefly, describe_status
from odx_target.target.trace.parameter_list_text import describe_answer, describe_command, describe_parameter_list

MAX_TEXT_VALUE_CHARACTERS = 120
"""Maximum number of characters that are shown of a key's value. Usual values are shorter than this."""

NAMES: dict[type[Pdu], str] = {
    NopOut: "NOP-Out",
    ScsiCommand: "SCSI Command",
    TaskManagementFunctionRequest: "Task Management Function Request",
    LoginRequest: "Login Request",
    TextRequest: "Text Request",
    ScsiDataOut: "SCSI Data-Out",
    LogoutRequest: "Logout Request",
    SnackRequest: "SNACK Request",
    NopIn: "NOP-In",
    ScsiResponse: "SCSI Response",
    TaskManagementFunctionResponse: "Task Management Function Response",
    LoginResponse: "Login Response",
    TextResponse: "Text Response",
    ScsiDataIn: "SCSI Data-In",
    LogoutResponse: "Logout Response",
    ReadyToTransfer: "R2T",
    AsynchronousMessage: "Asynchronous Message",
    Reject: "Reject",
}
"""Names of the PDU types, as in RFC 7143 11."""

_NOT_SHOWN = {"total_ahs_length", "data_segment_length", "cdb", "has_status", "status", "read", "write", "version_max"}
_SEQUENCE_NUMBERS = {
    "cmd_sn": "CmdSN",
    "exp_stat_sn": "ExpStatSN",
    "stat_sn": "StatSN",
    "exp_cmd_sn": "ExpCmdSN",
    "max_cmd_sn": "MaxCmdSN",
}
_TAGS = {
    "initiator_task_tag": "tag",
    "target_transfer_tag": "transfer_tag",
    "referenced_task_tag": "referenced_tag",
}
_VALUES: dict[tuple[type[Pdu], str], type[IntEnum]] = {
    **FIELD_VALUES,
    (ScsiCommand, "attribute"): TaskAttribute,
    (ScsiResponse, "response"): ResponseCode,
}
# Usual values of fields. These values are not shown.
_USUAL = {(ScsiCommand, "attribute"): TaskAttribute.SIMPLE, (ScsiResponse, "response"): 0}
_WITH_LUN = (ScsiCommand, TaskManagementFunctionRequest, AsynchronousMessage)


def describe_pdu(seen: Seen) -> str:
    """Return the trace line for a PDU, without time and peer."""
    pdu = seen.pdu
    parts = [" ".join([NAMES[type(pdu)], *_header_words(pdu)])]
    if isinstance(pdu, ScsiCommand) and seen.command is not None:
        parts.append(" ".join(describe_command(seen.command.cdb)))
    parts += _segment_parts(seen)
    if seen.command is not None and seen.parameter_list is not None:
        parts.append(f"sends {_sent_words(seen.command, seen.parameter_list)}")
    if seen.command is not None and seen.answer is not None:
        parts.append("answers " + " ".join(describe_answer(seen.command.cdb, seen.answer)))
    parts.append(" ".join(_sequence_words(pdu)))
    return _printable(" | ".join(part for part in parts if part))


def _sent_words(command: Command, parameter_list: bytes) -> str:
    """Describe a parameter list. If the list is incomplete, also show how many of its bytes are present."""
    whole_bytes = command.parameter_list_bytes
    part = f"({len(parameter_list)} of {whole_bytes} bytes) " if len(parameter_list) < whole_bytes else ""
    return part + " ".join(describe_parameter_list(command.cdb, parameter_list))


def describe_fault(piece: Piece) -> str:
    """Return the trace line for a damaged PDU, or for bytes that are not a PDU."""
    return f"{len(piece.raw)} bytes: {piece.fault} | {describe_bytes(piece.raw)}"


def _header_words(pdu: Pdu) -> list[str]:
    words = [_field_word(pdu, field.name) for field in fields(pdu)]
    if isinstance(pdu, ScsiResponse) and not pdu.response:
        words.append(describe_status(pdu.status))
    if isinstance(pdu, ScsiDataIn) and pdu.has_status:
        words.append(describe_status(pdu.status))
    if isinstance(pdu, LoginResponse):
        words.append(_value_word(LoginStatus, pdu.status))
    return [word for word in words if word]


def _field_word(pdu: Pdu, name: str) -> str:
    value = getattr(pdu, name)
    if name in _NOT_SHOWN or name in _SEQUENCE_NUMBERS:
        return ""
    if name in _TAGS:
        return "" if value == NO_TAG else f"{_TAGS[name]}={value:#x}"
    if name == "lun":
        return f"LUN={_lun(value)}" if value or isinstance(pdu, _WITH_LUN) else ""
    if isinstance(value, bytes):
        return f"{name}={value.hex()}"
    return _number_word(pdu, name, value)


def _number_word(pdu: Pdu, name: str, value: int) -> str:
    kind = _VALUES.get((type(pdu), name))
    if value == _USUAL.get((type(pdu), name)):
        return ""
    if kind is not None:
        stands_for_nothing = name == "next_stage" and not getattr(pdu, "transit", True)
        return "" if stands_for_nothing else f"{name}={_value_word(kind, value)}"
    if isinstance(value, bool):
        return name if value else ""
    return f"{name}={value}" if value else ""


def _value_word(kind: type[IntEnum], value: int) -> str:
    try:
        return kind(value).name
    except ValueError:
        return f"{value:#x}"


def _lun(value: int) -> str:
    number = decode_lun(value)
    return str(number) if number >= 0 else f"{value:016x}h"


def _sequence_words(pdu: Pdu) -> list[str]:
    return [f"{label}={getattr(pdu, name)}" for name, label in _SEQUENCE_NUMBERS.items() if hasattr(pdu, name)]


def _segment_parts(seen: Seen) -> list[str]:
    pdu, data = seen.pdu, seen.data
    if isinstance(pdu, TEXTS):
        return [" ".join(_text_words(bytes(data), seen.continues_text))]
    if _begins_with_sense(pdu) and len(data) > 2:
        return [describe_sense_briefly(bytes(data[2 : 2 + int.from_bytes(data[:2], "big")]))]
    if isinstance(pdu, Reject) and len(data) >= HEADER_BYTES:
        return [f"of {_name_of(bytes(data[:HEADER_BYTES]))}"]
    return [f"data={len(data)}"] if data else []


def _begins_with_sense(pdu: Pdu) -> bool:
    """True if the data segment of a PDU begins with the length of sense data (RFC 7143 11.4.7, 11.9.4)."""
    return isinstance(pdu, ScsiResponse) or (isinstance(pdu, AsynchronousMessage) and pdu.async_event == AsyncEvent.SCSI_EVENT)


def _text_words(text: bytes, continues: bool) -> list[str]:
    parts = [part.decode("utf-8", "backslashreplace") for part in text.split(b"\0")]
    words = [f"(the rest of a value, {len(parts.pop(0))} characters)"] if continues else []
    for part in parts:
        key, _, value = part.partition("=")
        if key:
            words.append(f"{key}={_shown_value(key, value)}")
    return words


def _shown_value(key: str, value: str) -> str:
    shown = describe_key_value(key, value)
    return shown if len(shown) <= MAX_TEXT_VALUE_CHARACTERS else f"{shown[:MAX_TEXT_VALUE_CHARACTERS]}..."


def _printable(text: str) -> str:
    """Escape unprintable characters, so that a text from a peer stays on one line."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _name_of(header: bytes) -> str:
    try:
        pdu = decode_header(header)
    except ValueError:
        return describe_bytes(header)
    return " ".join([NAMES[type(pdu)], *_header_words(pdu)])
