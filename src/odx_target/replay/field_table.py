"""The table of all fields of answers, and how a replay against another target compares them.

A field without a row is strict. Targets choose some values freely: these are mapped if later requests must contain them, and
ignored otherwise.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutResponse,
    Pdu,
    ReadyToTransfer,
    ScsiDataIn,
    ScsiResponse,
    TextResponse,
)


class Treatment(StrEnum):
    """The ways to compare a field."""

    STRICT = "strict"
    """The values must be equal."""
    MAPPED = "mapped"
    """The target chooses the value. Later requests get its value instead of the recorded one."""
    IGNORED = "ignored"
    """The target chooses the value, and no request contains it."""


class FieldRow(NamedTuple):
    """A field of an answer, how it is compared, and the reason. `pdu` is None for a field of all answers."""

    pdu: type[Pdu] | None
    field: str
    treatment: Treatment
    reason: str


_COUNTED, _WINDOW, _LENGTH = "each target counts its own PDUs", "a target chooses its command window", "follows from the data"

FIELDS = (
    FieldRow(None, "stat_sn", Treatment.MAPPED, _COUNTED),
    FieldRow(None, "exp_cmd_sn", Treatment.IGNORED, _WINDOW),
    FieldRow(None, "max_cmd_sn", Treatment.IGNORED, _WINDOW),
    FieldRow(None, "data_segment_length", Treatment.IGNORED, _LENGTH),
    FieldRow(None, "total_ahs_length", Treatment.IGNORED, _LENGTH),
    FieldRow(None, "target_transfer_tag", Treatment.MAPPED, "a target chooses its tags"),
    FieldRow(LoginResponse, "tsih", Treatment.MAPPED, "a target numbers its sessions"),
    FieldRow(LogoutResponse, "time2wait_s", Treatment.IGNORED, "a target chooses how long it keeps a session"),
    FieldRow(LogoutResponse, "time2retain_s", Treatment.IGNORED, "a target chooses how long it keeps a session"),
    FieldRow(ScsiResponse, "exp_data_sn", Treatment.IGNORED, "a target chooses the number of its R2T and Data-In PDUs"),
    FieldRow(ScsiResponse, "snack_tag", Treatment.IGNORED, "a target chooses its tags"),
    FieldRow(ScsiDataIn, "data_sn", Treatment.IGNORED, "a target chooses the number of its Data-In PDUs"),
    FieldRow(ScsiDataIn, "buffer_offset", Treatment.IGNORED, "a target chooses the length of its Data-In PDUs"),
    FieldRow(ScsiDataIn, "acknowledge", Treatment.IGNORED, "a target chooses whether it asks for acknowledgements"),
    FieldRow(ReadyToTransfer, "*", Treatment.MAPPED, "a target chooses which data it requests; the data is the recorded data"),
    FieldRow(TextResponse, "*", Treatment.IGNORED, "addresses and names are those of the target"),
)
"""The rows of all fields that are not strict. `*` stands for the whole PDU."""

_BURSTS = "a target chooses its bursts; if they differ, data is sent when the target requests it"

TEXT_KEYS: Mapping[str, str] = {
    "TargetAlias": "a name of the target",
    "TargetPortalGroupTag": "a target numbers its portal groups",
    "TargetAddress": "an address of the target",
    "MaxRecvDataSegmentLength": "what the target declares about itself",
    "InitialR2T": _BURSTS,
    "ImmediateData": _BURSTS,
    "FirstBurstLength": _BURSTS,
    "MaxBurstLength": _BURSTS,
    "MaxOutstandingR2T": _BURSTS,
}
"""Keys of login texts that are ignored, with the reasons. All others are strict."""

IGNORED_DATA: Mapping[tuple[int, int | None], str] = {
    (0x12, None): "INQUIRY data names the vendor, the product and the logical unit",
    (0xA3, 0x0F): "REPORT TIMESTAMP has the time of the target",
    (0x4D, None): "LOG SENSE has counters of the target",
}
"""Operation codes and service actions whose data is not compared, with the reasons."""

_ROWS = {(row.pdu, row.field): row.treatment for row in FIELDS}


def treatment_of(pdu: type[Pdu], field: str) -> Treatment:
    """Return how a field of a PDU is compared."""
    for key in ((pdu, "*"), (pdu, field), (None, field)):
        if key in _ROWS:
            return _ROWS[key]
    return Treatment.STRICT


def ignores_data(cdb: bytes) -> bool:
    """True if the data of a command is not compared."""
    return (cdb[0], None) in IGNORED_DATA or (cdb[0], cdb[1] & 0x1F) in IGNORED_DATA
