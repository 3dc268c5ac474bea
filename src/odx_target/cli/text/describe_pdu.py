"""An iSCSI PDU as rows of a table."""

from dataclasses import fields

from odx_target.cli.hosts.token.describe import describe_sent_command, table_rows
from odx_target.cli.text.tables import Row
from odx_target.iscsi.pdu.field_values import FIELD_VALUES
from odx_target.iscsi.pdu.framing import FrameReader
from odx_target.iscsi.pdu.headers import (
    HEADER_BYTES,
    LoginRequest,
    LoginResponse,
    Pdu,
    ScsiCommand,
    ScsiResponse,
    TextRequest,
    TextResponse,
    decode_header,
    decode_lun,
)
from odx_target.iscsi.pdu.opcodes import (
    NO_TAG,
)
from odx_target.iscsi.pdu.text import decode_pairs
from odx_target.scsi.describe.data import describe_sense
from odx_target.target.trace.one_line import describe_key_value

ATTRIBUTES = {0: "untagged", 1: "SIMPLE", 2: "ORDERED", 3: "HEAD OF QUEUE", 4: "ACA"}
MAX_DATA_BYTES = (1 << 24) - 1
TAGS = ("initiator_task_tag", "target_transfer_tag", "referenced_task_tag")
TEXTS = (LoginRequest, LoginResponse, TextRequest, TextResponse)


def describe_pdu(data: bytes) -> list[Row]:
    """Describe a PDU: its header of 48 bytes, and the data after the header. The data may be incomplete. Raises ValueError."""
    pdu = decode_header(data)
    rows: list[Row] = [("PDU", type(pdu).__name__, f"operation code {pdu.opcode:#04x}")]
    rows += [_field_row(pdu, field.name) for field in fields(pdu)]
    if isinstance(pdu, ScsiCommand):
        immediate = data[HEADER_BYTES:] if not pdu.total_ahs_length else b""
        rows += _indented(describe_sent_command(pdu.cdb, immediate[: pdu.data_segment_length]))
    return rows + _segment_rows(pdu, data)


def _indented(rows: list[Row]) -> list[Row]:
    return [(f"  {name}", value, words) for name, value, words in rows]


def _field_row(pdu: Pdu, name: str) -> Row:
    value = getattr(pdu, name)
    if isinstance(value, bytes):
        return name, value.hex(" "), ""
    if isinstance(value, bool):
        return name, str(int(value)), ""
    if name == "lun":
        return name, f"{value:016x}", f"LUN {decode_lun(value)}" if decode_lun(value) >= 0 else "not of a single level"
    if name in TAGS:
        return name, f"{value:#010x}", "none" if value == NO_TAG else ""
    if name == "attribute":
        return name, str(value), ATTRIBUTES.get(value, "reserved")
    return name, str(value), _meaning(pdu, name, value)


def _meaning(pdu: Pdu, name: str, value: int) -> str:
    names = FIELD_VALUES.get((type(pdu), name))
    try:
        return "" if names is None else names(value).name.lower().replace("_", " ")
    except ValueError:
        return "unknown"


def _segment_rows(pdu: Pdu, data: bytes) -> list[Row]:
    """Describe the data segment of a PDU without digests. If the segment is incomplete, describe how many bytes are present."""
    if len(data) == HEADER_BYTES and not pdu.data_segment_length:
        return []
    frame = FrameReader(MAX_DATA_BYTES).cut(memoryview(data))
    if frame is None:
        present = max(len(data) - HEADER_BYTES - 4 * pdu.total_ahs_length, 0)
        return [("data segment", f"{present} of {pdu.data_segment_length} bytes", "the rest is not there")]
    end, additional, segment, _ = frame
    rows: list[Row] = [("additional header segments", bytes(additional).hex(" "), "")] if additional else []
    rows += _content_rows(pdu, bytes(segment))
    if end < len(data):
        rows.append(("behind the PDU", data[end:][:64].hex(" "), f"{len(data) - end} bytes"))
    return rows


def _content_rows(pdu: Pdu, segment: bytes) -> list[Row]:
    if isinstance(pdu, TEXTS):
        return _indented([(name, describe_key_value(name, value), "") for name, value in decode_pairs(segment)])
    if isinstance(pdu, ScsiResponse) and len(segment) > 2:
        sense = segment[2 : 2 + int.from_bytes(segment[:2], "big")]
        return _indented(table_rows(describe_sense(sense)))
    if not segment:
        return []
    return [("data segment", segment[:64].hex(" "), f"{len(segment)} bytes")]
